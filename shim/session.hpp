/*
 * What a shim_t is: the session, the torrents by id, the events.
 */

#ifndef CONFLUENCE_SHIM_SESSION_HPP
#define CONFLUENCE_SHIM_SESSION_HPP

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <libtorrent/add_torrent_params.hpp>
#include <libtorrent/alert.hpp>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/session.hpp>

#include "shim/base/context.hpp"
#include "shim/base/ports.hpp"
#include "shim/dht_item.hpp"
#include "shim/metainfo/sources.hpp"
#include "shim/torrent/torrent.hpp"

/* A torrent as the owner thread knows it; only that thread looks at it. */
struct shim_slot
{
    std::uint32_t generation = 1;
    std::shared_ptr<shim::torrent> t; /* null: free */
    libtorrent::torrent_handle handle;
    std::shared_ptr<shim::layout const> info;
    shim::sources sources;
    std::map<std::string, int> tracker_peers; /* by URL, last answer */
};

struct shim_s
{
    explicit shim_s(shim_config_t const& config);

    bool on_owner_thread() const { return std::this_thread::get_id() == owner; }

    /* NULL if the id is of no torrent, or of one that was removed. */
    shim_slot* find(shim_id_t id);

    /* Of the torrent that an alert is about; NULL if it was removed. */
    shim_slot* find(libtorrent::torrent_handle const& h);

    shim_id_t new_id();
    void free_id(shim_id_t id);

    /* Makes the info known to all threads and tells the caller. */
    void set_info(shim_slot& slot, std::shared_ptr<shim::layout const> info);

    /* Adds what is not known yet to a torrent's sources, and to libtorrent. */
    void add_node(std::string const& host, int port);
    void merge(shim_slot& slot, shim::sources const& more, bool with_trackers);

    /* The torrent whose info is this, if it has no libtorrent torrent. */
    shim_slot* find_empty(libtorrent::info_hash_t const& ih);

    /* Turns an alert into an event, or into nothing. */
    void translate(libtorrent::alert const& a);

    /* Parts of an answer to shim_ask_stats(). */
    void take_stats(libtorrent::dht_stats_alert const& a);
    void take_stats(libtorrent::session_stats_alert const& a);

    std::thread::id const owner;
    bool const trackers;
    bool const override_trackers;
    std::shared_ptr<shim::context> ctx;
    std::unique_ptr<libtorrent::session> ses;
    std::optional<shim::items> items;
    std::vector<shim_slot> slots;
    std::vector<std::uint32_t> free_slots;
    std::deque<shim_event_t> events;
    std::string const listen; /* libtorrent's form */
    shim::ports where;
    std::vector<std::string> addresses; /* we listen on */
    std::uint16_t port = 0;             /* the first that is open; 0: none */
    std::vector<std::int64_t> stats;    /* by lt::stats_metric.value_index */
    std::vector<shim_dht_t> dht;
    bool stats_whole = true; /* what comes is of another answer */
};

namespace shim
{

/*
 * Fills text from the exception being handled; for use in catch (...) only.
 * Returns SHIM_INVALID for the caller's bad data, else SHIM_ERROR.
 */
shim_rc_t report_current_exception(char* err, std::size_t err_size) noexcept;

/* "1.2.3.4:5", "[::1]:5" */
template <typename Endpoint>
std::string endpoint_text(Endpoint const& ep)
{
    std::string const address = ep.address().to_string();
    std::string const port = std::to_string(ep.port());

    return ep.address().is_v6() ? "[" + address + "]:" + port
                                : address + ":" + port;
}

/*
 * Parameters of a torrent to be added, from a .torrent or from infohashes.
 * info is set to the layout if the .torrent has been given, from to what it
 * tells beside.  Throws invalid_data.
 *
 * A torrent without a single byte is none for libtorrent: ti is not set then.
 */
libtorrent::add_torrent_params make_params(
    shim_add_t const& a, std::shared_ptr<layout>& info, sources& from);

/*
 * The sources of a .torrent, whether it has an info dictionary or not.  Throws
 * invalid_data.
 */
sources read_sources(void const* metainfo, std::size_t len);

/* Makes the hashes of the info as complete as libtorrent knows them. */
void refresh_layers(layout const& info, libtorrent::torrent_handle const& h);

/* Bencodes a .torrent. */
std::string make_metainfo(layout const& info,
    sources const& from,
    char const* comment,
    char const* created_by,
    std::int64_t creation_date);

} // namespace shim

#endif
