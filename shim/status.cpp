/*
 * What is asked about torrents: the layout, and what libtorrent counts.
 */

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <string>

#include <libtorrent/announce_entry.hpp>
#include <libtorrent/peer_info.hpp>
#include <libtorrent/torrent_status.hpp>

#include "shim/session.hpp"

namespace
{

namespace lt = libtorrent;

void fill_tracker(shim_tracker_t& out, lt::announce_entry const& e)
{
    bool any = false;
    auto const now = lt::clock_type::now();

    std::memset(&out, 0, sizeof(out));
    shim::copy_text(out.url, sizeof(out.url), e.url);
    out.tier = e.tier;
    out.next_announce = -1;
    out.peers = -1;

    for (lt::announce_endpoint const& ep : e.endpoints)
    {
        for (auto const v :
            {lt::protocol_version::V1, lt::protocol_version::V2})
        {
            lt::announce_infohash const& a = ep.info_hashes[v];

            out.fails = std::max<std::uint32_t>(out.fails, a.fails);

            if (a.last_error)
            {
                shim::copy_text(out.error,
                    sizeof(out.error),
                    a.message.empty() ? a.last_error.message() : a.message);
            }

            if (a.next_announce == (lt::time_point32::min)())
                continue;

            auto const s = std::max<std::int64_t>(
                lt::total_seconds(a.next_announce - now), 0);

            if (!any || s < out.next_announce)
                out.next_announce = std::int32_t(s);

            any = true;
        }
    }
}

void fill_peer(shim_peer_t& out, lt::peer_info const& p)
{
    std::memset(&out, 0, sizeof(out));
    shim::copy_text(
        out.address, sizeof(out.address), shim::endpoint_text(p.ip));
    shim::copy_text(out.client, sizeof(out.client), p.client);
    out.download_rate = std::uint32_t(std::max(p.payload_down_speed, 0));
    out.upload_rate = std::uint32_t(std::max(p.up_speed, 0));
    out.have = std::uint32_t(std::max(p.num_pieces, 0));
    out.interesting = bool(p.flags & lt::peer_info::interesting);
    out.choked = bool(p.flags & lt::peer_info::remote_choked);
    out.interested = bool(p.flags & lt::peer_info::remote_interested);
    out.choking = bool(p.flags & lt::peer_info::choked);
    out.utp = bool(p.flags & lt::peer_info::utp_socket);
    out.incoming = !bool(p.flags & lt::peer_info::outgoing_connection);
    out.source = static_cast<std::uint8_t>(p.source);
}

} // namespace

extern "C" shim_rc_t shim_info(shim_t* s, shim_id_t id, shim_info_t* info)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (!slot->info)
        return SHIM_NOT_READY;

    shim::layout const& l = *slot->info;
    uint32_t const size = info->size;

    std::memset(info, 0, sizeof(*info));
    info->size = size;
    info->has_v1 = l.ih.has_v1();
    info->has_v2 = l.ih.has_v2();
    std::memcpy(info->v1, l.ih.v1.data(), sizeof(info->v1));
    std::memcpy(info->v2, l.ih.v2.data(), sizeof(info->v2));
    info->single_file = l.single_file;
    info->is_private = l.is_private;
    info->piece_length = l.piece_length;
    info->piece_n = l.piece_n;
    info->total_size = l.total_size;
    info->file_n = std::uint32_t(l.files.size());
    info->creation_date = slot->sources.creation_date;
    info->name = l.name.data();
    info->name_len = std::uint32_t(l.name.size());
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_file(
    shim_t* s, shim_id_t id, uint32_t n, shim_file_t* file)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (!slot->info)
        return SHIM_NOT_READY;

    if (n >= slot->info->files.size())
        return SHIM_INVALID;

    shim::layout_file const& f = slot->info->files[n];

    file->offset = f.offset;
    file->length = f.length;
    file->path = slot->info->paths.data() + f.path;
    file->path_len = f.path_len;
    file->flags = f.flags;
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_info_bytes(
    shim_t* s, shim_id_t id, void const** buf, size_t* len)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (!slot->info)
        return SHIM_NOT_READY;

    *buf = slot->info->info.data();
    *len = slot->info->info.size();
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_metainfo(shim_t* s,
    shim_id_t id,
    char const* comment,
    char const* created_by,
    int64_t creation_date,
    void** buf,
    size_t* len)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (!slot->info)
        return SHIM_NOT_READY;

    shim::refresh_layers(*slot->info, slot->handle);

    std::string const out = shim::make_metainfo(
        *slot->info, slot->sources, comment, created_by, creation_date);

    *buf = std::malloc(out.size());

    if (*buf == nullptr)
        return SHIM_ERROR;

    std::memcpy(*buf, out.data(), out.size());
    *len = out.size();
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" void shim_free(void* buf)
{
    std::free(buf);
}

extern "C" shim_rc_t shim_layers(
    shim_t* s, shim_id_t id, shim_layer_t** list, uint32_t* n)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (!slot->info)
        return SHIM_NOT_READY;

    shim::refresh_layers(*slot->info, slot->handle);

    auto const layers = slot->info->hashes->whole_layers();
    std::size_t size = layers.size() * sizeof(shim_layer_t) + 1;

    for (auto const& [root, bytes] : layers)
        size += bytes.size();

    char* const buf = static_cast<char*>(std::malloc(size));

    if (buf == nullptr)
        return SHIM_ERROR;

    *list = reinterpret_cast<shim_layer_t*>(buf);
    *n = std::uint32_t(layers.size());

    char* p = buf + layers.size() * sizeof(shim_layer_t);

    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        auto const& [root, bytes] = layers[i];
        shim_layer_t& out = (*list)[i];

        std::memcpy(out.root, root.data(), sizeof(out.root));
        std::memcpy(p, bytes.data(), bytes.size());
        out.hashes = p;
        out.len = bytes.size();
        p += bytes.size();
    }

    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" int shim_is_whole(shim_t* s, shim_id_t id)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr || !slot->info)
        return 0;

    shim::refresh_layers(*slot->info, slot->handle);
    return slot->info->hashes->layers_whole() ? 1 : 0;
}
catch (...)
{
    return 1;
}

extern "C" shim_rc_t shim_torrent_status(
    shim_t* s, shim_id_t id, shim_torrent_status_t* status)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    std::vector<lt::peer_info> peers;
    uint32_t const size = status->size;

    std::memset(status, 0, sizeof(*status));
    status->size = size;

    if (!slot->handle.is_valid())
        return SHIM_OK;

    lt::torrent_status const st = slot->handle.status({});

    slot->handle.get_peer_info(peers);
    status->peers = std::uint32_t(st.num_peers);
    status->seeds = std::uint32_t(st.num_seeds);
    status->known_peers = std::uint32_t(std::max(st.list_peers, 0));
    status->download_rate =
        std::uint64_t(std::max(st.download_payload_rate, 0));
    status->upload_rate = std::uint64_t(std::max(st.upload_rate, 0));
    status->downloaded = std::uint64_t(st.total_payload_download);
    status->uploaded = slot->t->uploaded;
    status->downloading_metadata = !st.has_metadata;

    auto const interested = std::count_if(peers.begin(),
        peers.end(),
        [](lt::peer_info const& p)
        { return bool(p.flags & lt::peer_info::remote_interested); });

    status->interested_peers =
        std::uint8_t(std::min<std::ptrdiff_t>(interested, 255));
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_trackers(
    shim_t* s, shim_id_t id, shim_tracker_t* out, uint32_t max, uint32_t* n)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    *n = 0;

    if (!slot->handle.is_valid())
        return SHIM_OK;

    std::vector<lt::announce_entry> const all = slot->handle.trackers();

    *n = std::uint32_t(all.size());

    for (std::uint32_t i = 0; i < std::min(*n, max); ++i)
    {
        auto const peers = slot->tracker_peers.find(all[i].url);

        fill_tracker(out[i], all[i]);

        if (peers != slot->tracker_peers.end())
            out[i].peers = peers->second;
    }

    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_peers(
    shim_t* s, shim_id_t id, shim_peer_t* out, uint32_t max, uint32_t* n)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    std::vector<lt::peer_info> all;

    *n = 0;

    if (!slot->handle.is_valid())
        return SHIM_OK;

    slot->handle.get_peer_info(all);
    *n = std::uint32_t(all.size());

    for (std::uint32_t i = 0; i < std::min(*n, max); ++i)
        fill_peer(out[i], all[i]);

    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" uint16_t shim_listen_port(shim_t* s)
try
{
    return s->port != 0 ? s->port : s->ses->listen_port();
}
catch (...)
{
    return 0;
}

extern "C" char const* shim_listening(shim_t* s, uint32_t n)
{
    return n < s->addresses.size() ? s->addresses[n].c_str() : nullptr;
}
