/*
 * Values of the DHT, BEP 44: gets by target alone.
 *
 * libtorrent gets a mutable value only for those who know its key; all that a
 * client of ours knows is the target.  So the search is done here: libtorrent
 * tells the nodes it knows and sends our queries, and answers come back as
 * alerts.  Owner thread throughout.
 *
 * A search asks the nodes nearest to the target, a few at a time, and those
 * that they name, until the nearest that answer have all been asked.  A value
 * that hashes to the target ends it; of values that are signed the newest one
 * wins, so all of these nodes are heard first.  If hardly any are known,
 * libtorrent is asked for more during the first seconds: it may have just been
 * started.
 *
 * Nodes are strangers: what they answer is believed only as far as it can be
 * verified, an address is asked once, and there is a limit for all of it.
 */

#ifndef CONFLUENCE_SHIM_ITEMS_HPP
#define CONFLUENCE_SHIM_ITEMS_HPP

#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include <libtorrent/alert_types.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/sha1_hash.hpp>

#include "shim/base/context.hpp"

namespace shim
{

class items
{
public:
    using clock = std::chrono::steady_clock;

    items(lt::session& ses, context const& ctx);

    /* The id that it has if others look for the same; 0: there are too many. */
    std::uint64_t get(lt::sha1_hash const& target,
        std::string salt,
        std::chrono::milliseconds timeout);

    /* What was found, bencoded; NULL if nothing was, or the search goes on. */
    std::string const* value(std::uint64_t id) const;

    void drop(std::uint64_t id);

    /*
     * Asks on, and ends what took too long; results are appended to out.
     * Returns the time until it is to be called again, -1: no search runs.
     */
    int poll(std::deque<shim_event_t>& out);

    void answer(
        lt::dht_live_nodes_alert const& a, std::deque<shim_event_t>& out);
    void answer(
        lt::dht_direct_response_alert const& a, std::deque<shim_event_t>& out);

private:
    enum class state
    {
        fresh,
        asked,
        slow, /* no longer waited for by others */
        answered,
        failed
    };

    struct node
    {
        lt::udp::endpoint ep;
        state st = state::fresh;
        clock::time_point asked;
    };

    struct search
    {
        lt::sha1_hash target;
        std::string salt;
        unsigned users = 1; /* get()s without a drop() */
        clock::time_point begun;
        clock::time_point deadline;
        clock::time_point next_start;        /* if there are few nodes */
        std::map<lt::sha1_hash, node> nodes; /* by distance */
        std::set<lt::address> addresses;
        int queries = 0;
        int answers = 0;
        bool done = false;
        bool is_mutable = false;
        std::int64_t seq = 0; /* of the value, if it is mutable */
        std::string value;    /* "": none yet */
    };

    struct query
    {
        std::uint64_t search;
        lt::sha1_hash distance;
        clock::time_point sent;
    };

    void start(search& s);
    void add(search& s, lt::sha1_hash const& id, lt::udp::endpoint const& ep);
    void add_nodes(search& s, lt::bdecode_node const& reply);
    void take(search& s, lt::bdecode_node const& reply) const;
    bool ask_on(std::uint64_t id, search& s, clock::time_point now);
    void ask(std::uint64_t id,
        search& s,
        lt::sha1_hash const& distance,
        node& n,
        clock::time_point now);
    void run(std::uint64_t id,
        search& s,
        clock::time_point now,
        std::deque<shim_event_t>& out);
    void finish(
        std::uint64_t id, search& s, int error, std::deque<shim_event_t>& out);

    lt::session& m_ses;
    context const& m_ctx;
    std::map<std::uint64_t, search> m_searches;
    std::unordered_map<std::uintptr_t, query> m_queries; /* by number */
    std::uintptr_t m_number = 0;
    std::uint64_t m_id = 0;
    bool m_v6 = false; /* the DHT runs there, too */
};

} // namespace shim

#endif
