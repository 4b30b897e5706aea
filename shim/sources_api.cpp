/*
 * The sources of torrents: told by a .torrent, a magnet or the configuration,
 * and told again.
 */

#include "shim/metainfo/sources.hpp"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>

#include <boost/asio/ip/udp.hpp>
#include <boost/asio/post.hpp>

#include <libtorrent/announce_entry.hpp>

#include "shim/session.hpp"

namespace shim
{

namespace
{

/* A list of strings, or one string: BEP 19 has both. */
std::vector<std::string> strings(lt::bdecode_node const& node)
{
    std::vector<std::string> out;

    if (node.type() == lt::bdecode_node::string_t)
        out.emplace_back(node.string_value());

    if (node.type() != lt::bdecode_node::list_t)
        return out;

    for (int i = 0; i < node.list_size(); ++i)
    {
        if (node.list_at(i).type() == lt::bdecode_node::string_t)
            out.emplace_back(node.list_at(i).string_value());
    }

    return out;
}

std::string text(
    lt::bdecode_node const& root, char const* const utf8, char const* plain)
{
    lt::bdecode_node node = root.dict_find_string(utf8);

    if (!node)
        node = root.dict_find_string(plain);

    return node ? std::string(node.string_value()).substr(0, max_text)
                : std::string();
}

/* Without white space around it, and without anything that ends a C string. */
std::string clean_url(std::string const& url)
{
    std::size_t const first = url.find_first_not_of(" \t\r\n");

    if (first == std::string::npos || url.find('\0') != std::string::npos)
        return std::string();

    return url.substr(first, url.find_last_not_of(" \t\r\n") - first + 1);
}

} // namespace

bool sources::add_tracker(std::string const& raw, std::uint32_t const tier)
{
    std::string const url = clean_url(raw);

    if (url.empty() || url.size() > max_url || trackers.size() >= max_trackers)
        return false;

    for (tracker const& t : trackers)
    {
        if (t.url == url)
            return false;
    }

    std::uint8_t const n = std::uint8_t(std::min(tier, 255U));
    auto const place = std::upper_bound(trackers.begin(),
        trackers.end(),
        n,
        [](std::uint8_t const a, tracker const& t) { return a < t.tier; });

    trackers.insert(place, {url, n});
    return true;
}

bool sources::add_web_seed(std::string const& raw)
{
    std::string const url = clean_url(raw);

    if ((url.compare(0, 7, "http://") != 0
            && url.compare(0, 8, "https://") != 0)
        || url.size() > max_url || web_seeds.size() >= max_web_seeds
        || std::count(web_seeds.begin(), web_seeds.end(), url) != 0)
    {
        return false;
    }

    web_seeds.push_back(url);
    return true;
}

void sources::add_node(std::string const& host, std::int64_t const port)
{
    if (host.empty() || host.size() > 255
        || host.find('\0') != std::string::npos || port < 1 || port > 65535
        || nodes.size() >= max_nodes)
    {
        return;
    }

    std::pair<std::string, int> const node(host, int(port));

    if (std::count(nodes.begin(), nodes.end(), node) == 0)
        nodes.push_back(node);
}

sources parse_sources(lt::bdecode_node const& root)
{
    sources s;
    lt::bdecode_node const tiers = root.dict_find_list("announce-list");
    lt::bdecode_node const nodes = root.dict_find_list("nodes");

    for (int i = 0; tiers && i < tiers.list_size(); ++i)
    {
        for (std::string const& url : strings(tiers.list_at(i)))
            s.add_tracker(url, std::uint32_t(i));
    }

    if (s.trackers.empty())
        s.add_tracker(text(root, "announce", "announce"), 0);

    for (std::string const& url : strings(root.dict_find("url-list")))
        s.add_web_seed(url);

    for (int i = 0; nodes && i < nodes.list_size(); ++i)
    {
        lt::bdecode_node const pair = nodes.list_at(i);

        if (pair.type() == lt::bdecode_node::list_t && pair.list_size() == 2)
        {
            s.add_node(std::string(pair.list_string_value_at(0)),
                pair.list_int_value_at(1));
        }
    }

    s.comment = text(root, "comment.utf-8", "comment");
    s.created_by = text(root, "created by.utf-8", "created by");
    s.creation_date = root.dict_find_int_value("creation date");
    return s;
}

} // namespace shim

namespace
{

namespace lt = libtorrent;

/* What is told to libtorrent is what it is to use. */
void add_tracker(
    shim_s& s, shim_slot& slot, std::string const& url, std::uint32_t tier)
{
    if (!slot.sources.add_tracker(url, tier))
        return;

    if (!s.trackers || !slot.handle.is_valid())
        return;

    lt::announce_entry e(url);

    e.tier = std::uint8_t(std::min(tier, 255U));
    slot.handle.add_tracker(e);
}

void add_web_seed(shim_slot& slot, std::string const& url)
{
    if (slot.sources.add_web_seed(url) && slot.handle.is_valid())
        slot.handle.add_url_seed(url);
}

} // namespace

/* libtorrent asks a node that it is told of before it looks at its filter. */
void shim_s::add_node(std::string const& host, int const port)
{
    using boost::asio::ip::udp;

    if (!ses->is_dht_running())
        return;

    auto const resolver = std::make_shared<udp::resolver>(*ctx->ioc);
    auto const found = [resolver, c = ctx, h = lt::session_handle(*ses), port](
                           lt::error_code const& ec,
                           udp::resolver::results_type const& results) mutable
    {
        if (ec || !h.is_valid())
            return;

        for (auto const& r : results)
        {
            lt::address const a = r.endpoint().address();

            if (!c->blocks(a))
                h.add_dht_node({a.to_string(), port});
        }
    };

    boost::asio::post(*ctx->ioc,
        [resolver, found, host, port]
        { resolver->async_resolve(host, std::to_string(port), found); });
}

void shim_s::merge(
    shim_slot& slot, shim::sources const& more, bool const with_trackers)
{
    for (shim::sources::tracker const& t : more.trackers)
    {
        if (with_trackers)
            add_tracker(*this, slot, t.url, t.tier);
    }

    for (std::string const& url : more.web_seeds)
        add_web_seed(slot, url);

    for (auto const& [host, port] : more.nodes)
    {
        slot.sources.add_node(host, port);
        add_node(host, port);
    }

    if (!more.comment.empty())
        slot.sources.comment = more.comment;

    if (!more.created_by.empty())
        slot.sources.created_by = more.created_by;

    /* it is in the map by now, and Last-Modified must not change */
    if (slot.sources.creation_date == 0)
        slot.sources.creation_date = more.creation_date;
}

extern "C" shim_rc_t shim_merge(shim_t* s,
    shim_id_t id,
    void const* metainfo,
    size_t metainfo_len,
    int trackers,
    char* err,
    size_t err_size)
try
{
    shim_slot* const slot = s->find(id);

    assert(s->on_owner_thread());

    if (slot == nullptr)
        return SHIM_GONE;

    s->merge(*slot, shim::read_sources(metainfo, metainfo_len), trackers != 0);
    return SHIM_OK;
}
catch (...)
{
    return shim::report_current_exception(err, err_size);
}

extern "C" shim_rc_t shim_add_tracker(
    shim_t* s, shim_id_t id, char const* url, uint32_t tier)
try
{
    shim_slot* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (*url == '\0')
        return SHIM_INVALID;

    add_tracker(*s, *slot, url, tier);
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_add_web_seed(shim_t* s, shim_id_t id, char const* url)
try
{
    shim_slot* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (std::strncmp(url, "http://", 7) != 0
        && std::strncmp(url, "https://", 8) != 0)
    {
        return SHIM_INVALID;
    }

    add_web_seed(*slot, url);
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_sources(
    shim_t* s, shim_id_t id, shim_sources_t* sources)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    shim::sources const& from = slot->sources;

    sources->tracker_n = std::uint32_t(from.trackers.size());
    sources->web_seed_n = std::uint32_t(from.web_seeds.size());
    sources->node_n = std::uint32_t(from.nodes.size());
    sources->comment = from.comment.c_str();
    sources->created_by = from.created_by.c_str();
    sources->creation_date = from.creation_date;
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_source(shim_t* s,
    shim_id_t id,
    shim_source_e kind,
    uint32_t n,
    char const** text,
    uint32_t* number)
try
{
    shim_slot const* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    shim::sources const& from = slot->sources;

    if (kind == SHIM_SOURCE_TRACKER && n < from.trackers.size())
    {
        *text = from.trackers[n].url.c_str();
        *number = from.trackers[n].tier;
        return SHIM_OK;
    }

    if (kind == SHIM_SOURCE_WEB_SEED && n < from.web_seeds.size())
    {
        *text = from.web_seeds[n].c_str();
        *number = 0;
        return SHIM_OK;
    }

    if (kind == SHIM_SOURCE_NODE && n < from.nodes.size())
    {
        *text = from.nodes[n].first.c_str();
        *number = std::uint32_t(from.nodes[n].second);
        return SHIM_OK;
    }

    return SHIM_INVALID;
}
catch (...)
{
    return SHIM_ERROR;
}
