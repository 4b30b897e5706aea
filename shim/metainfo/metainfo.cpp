/*
 * .torrent files: taken apart for shim_add(), put together for
 * shim_metainfo().
 */

#include <algorithm>
#include <cstring>
#include <map>

#include <libtorrent/bdecode.hpp>
#include <libtorrent/hasher.hpp>
#include <libtorrent/load_torrent.hpp>
#include <libtorrent/torrent_info.hpp>

#include "shim/session.hpp"

namespace shim
{

namespace
{

void append(std::string& out, lt::string_view const s)
{
    out += std::to_string(s.size());
    out += ':';
    out.append(s.data(), s.size());
}

void append(std::string& out, std::int64_t const n)
{
    out += 'i';
    out += std::to_string(n);
    out += 'e';
}

void add_layers(lt::bdecode_node const& root, piece_hashes& hashes)
{
    lt::bdecode_node const layers = root.dict_find_dict("piece layers");

    if (!layers)
        return;

    int const n = layers.dict_size();

    for (int i = 0; i < n; ++i)
    {
        auto const [key, node] = layers.dict_at(i);

        if (key.size() != std::size_t(lt::sha256_hash::size())
            || node.type() != lt::bdecode_node::string_t)
        {
            throw invalid_data("piece layers: bad entry");
        }

        /* one that is wrong is not used: peers have the right one */
        hashes.add_layer(lt::sha256_hash(key.data()),
            node.string_ptr(),
            std::size_t(node.string_length()));
    }
}

void check_hashes(shim_add_t const& a, lt::info_hash_t const& ih)
{
    if (a.v1 != nullptr
        && (!ih.has_v1() || std::memcmp(a.v1, ih.v1.data(), 20) != 0))
    {
        throw invalid_data("metainfo is of another v1 infohash");
    }

    if (a.v2 != nullptr
        && (!ih.has_v2() || std::memcmp(a.v2, ih.v2.data(), 32) != 0))
    {
        throw invalid_data("metainfo is of another v2 infohash");
    }
}

/* The result points into the buffer. */
lt::bdecode_node parse(void const* const metainfo, std::size_t const len)
{
    lt::span<char const> const buf(
        static_cast<char const*>(metainfo), std::ptrdiff_t(len));
    lt::error_code ec;

    if (len > std::size_t(max_metainfo))
        throw invalid_data("metainfo is too big");

    lt::bdecode_node root =
        lt::bdecode(buf, ec, nullptr, max_depth, max_tokens);

    if (ec)
        throw malformed_data(ec.message());

    if (root.type() != lt::bdecode_node::dict_t)
        throw malformed_data("not a dictionary");

    return root;
}

/*
 * libtorrent would ask the nodes of the DHT that a .torrent names, whoever
 * they are: shim_s::add_node() does that.  "" if it names none.
 */
std::string without_nodes(lt::bdecode_node const& root)
{
    std::string out;

    if (!root.dict_find("nodes"))
        return out;

    out = "d";

    for (int i = 0; i < root.dict_size(); ++i)
    {
        auto const [key, value] = root.dict_at(i);

        if (key == "nodes")
            continue;

        append(out, std::string(key));
        out.append(value.data_section().data(),
            std::size_t(value.data_section().size()));
    }

    return out + "e";
}

lt::add_torrent_params load(
    shim_add_t const& a, std::shared_ptr<layout>& info, sources& from)
{
    lt::load_torrent_limits limits;
    lt::bdecode_node const root = parse(a.metainfo, a.metainfo_len);
    lt::bdecode_node const dict = root.dict_find_dict("info");

    if (!dict)
        throw no_info("metainfo has no info dictionary");

    check_info(dict);

    limits.max_buffer_size = max_metainfo;
    limits.max_pieces = int(max_pieces);
    limits.max_decode_depth = max_depth;
    limits.max_decode_tokens = max_tokens;

    from = parse_sources(root);

    lt::add_torrent_params p;

    if (is_empty(dict))
    {
        info = make_empty_layout(dict);
        check_hashes(a, info->ih);
        return p;
    }

    try
    {
        std::string const text = without_nodes(root);

        p = text.empty()
            ? lt::load_torrent_parsed(root, limits)
            : lt::load_torrent_parsed(parse(text.data(), text.size()), limits);
    }
    catch (lt::system_error const& e)
    {
        throw invalid_data("metainfo: " + e.code().message());
    }

    check_hashes(a, p.ti->info_hashes());
    info = make_layout(*p.ti);
    add_layers(root, *info->hashes);

    return p;
}

/* Keys of a .torrent's root, in the order that bencoding wants. */
using dictionary = std::map<std::string, std::string>;

void add_trackers(dictionary& d, std::vector<sources::tracker> const& trackers)
{
    std::string list;
    int tier = -1;

    if (trackers.empty())
        return;

    append(d["announce"], trackers.front().url);

    for (sources::tracker const& t : trackers)
    {
        if (int(t.tier) != tier)
        {
            list += tier == -1 ? "l" : "el";
            tier = t.tier;
        }

        append(list, t.url);
    }

    d["announce-list"] = "l" + list + "ee";
}

void add_text(dictionary& d,
    char const* const key,
    std::string const& told,
    char const* const otherwise)
{
    if (!told.empty())
        append(d[key], told);
    else if (otherwise != nullptr && *otherwise != '\0')
        append(d[key], otherwise);
}

void add_nodes(
    dictionary& d, std::vector<std::pair<std::string, int>> const& nodes)
{
    if (nodes.empty())
        return;

    std::string& list = d["nodes"];

    list = "l";

    for (auto const& [host, port] : nodes)
    {
        list += 'l';
        append(list, host);
        append(list, std::int64_t(port));
        list += 'e';
    }

    list += 'e';
}

} // namespace

sources read_sources(void const* const metainfo, std::size_t const len)
{
    return parse_sources(parse(metainfo, len));
}

lt::add_torrent_params make_params(
    shim_add_t const& a, std::shared_ptr<layout>& info, sources& from)
{
    lt::add_torrent_params p;

    if (a.metainfo != nullptr)
    {
        p = load(a, info, from);
    }
    else
    {
        if (a.v1 == nullptr && a.v2 == nullptr)
            throw invalid_data("neither infohash nor metainfo");

        if (a.v1 != nullptr)
            p.info_hashes.v1.assign(reinterpret_cast<char const*>(a.v1));

        if (a.v2 != nullptr)
            p.info_hashes.v2.assign(reinterpret_cast<char const*>(a.v2));

        if (a.name != nullptr)
            p.name = a.name;
    }

    p.save_path = "."; /* never used, must not be empty */
    p.flags = lt::torrent_flags::apply_ip_filter
        | lt::torrent_flags::duplicate_is_error;

    /* with its metadata it waits for the anchor: torrent::files_checked() */
    if (info)
        p.flags |= lt::torrent_flags::paused;

    if (info && info->is_private)
    {
        p.flags |= lt::torrent_flags::disable_dht
            | lt::torrent_flags::disable_pex | lt::torrent_flags::disable_lsd;
    }

    return p;
}

void refresh_layers(layout const& info, lt::torrent_handle const& h)
{
    if (info.ih.has_v2() && h.is_valid() && !info.hashes->layers_whole())
        info.hashes->add_layers(h.piece_layers());
}

std::string make_metainfo(layout const& info,
    sources const& from,
    char const* const comment,
    char const* const created_by,
    std::int64_t const creation_date)
{
    dictionary d;
    std::string out;
    std::int64_t const date =
        from.creation_date != 0 ? from.creation_date : creation_date;

    add_trackers(d, from.trackers);
    add_text(d, "comment", from.comment, comment);
    add_text(d, "created by", from.created_by, created_by);

    if (date != 0)
        append(d["creation date"], date);

    d["info"] = info.info;
    add_nodes(d, from.nodes);

    if (info.ih.has_v2())
    {
        std::string& layers = d["piece layers"];

        layers = "d";

        for (auto const& [root, bytes] : info.hashes->whole_layers())
        {
            append(layers, root);
            append(layers, bytes);
        }

        layers += 'e';
    }

    if (!from.web_seeds.empty())
    {
        std::string& list = d["url-list"];

        list = "l";

        for (std::string const& url : from.web_seeds)
            append(list, url);

        list += 'e';
    }

    out = "d";

    for (auto const& [key, value] : d)
    {
        append(out, key);
        out += value;
    }

    out += 'e';
    return out;
}

} // namespace shim
