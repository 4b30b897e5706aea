/*
 * What libtorrent counts, and its DHT.  Both are asked for on the network
 * thread and come as alerts; those of the DHT, one for each of its sockets,
 * come before the one with the counters, which ends an answer.
 */

#include <algorithm>
#include <cstring>

#include <libtorrent/alert_types.hpp>
#include <libtorrent/session_stats.hpp>

#include "shim/session.hpp"

namespace
{

namespace lt = libtorrent;

/* Never destroyed: a process may exit while its engine's thread runs. */
std::vector<lt::stats_metric> const& metrics()
{
    static auto const& all =
        *new std::vector<lt::stats_metric>(lt::session_stats_metrics());

    return all;
}

} // namespace

void shim_s::take_stats(lt::dht_stats_alert const& a)
{
    shim_dht_t out{};

    if (stats_whole)
    {
        dht.clear();
        stats_whole = false;
    }

    /* no DHT is told as one without an address */
    if (a.local_endpoint.port() == 0)
        return;

    shim::copy_text(out.address,
        sizeof(out.address),
        shim::endpoint_text(a.local_endpoint));
    std::memcpy(out.id, a.nid.data(), sizeof(out.id));

    for (lt::dht_lookup const& l : a.active_requests)
        out.transactions += std::uint32_t(std::max(l.outstanding_requests, 0));

    for (lt::dht_routing_bucket const& b : a.routing_table)
    {
        if (out.bucket_n == SHIM_DHT_BUCKETS)
            break;

        shim_dht_bucket_t& bucket = out.buckets[out.bucket_n++];

        bucket.nodes = std::uint32_t(b.num_nodes);
        bucket.replacements = std::uint32_t(b.num_replacements);
    }

    dht.push_back(out);
}

void shim_s::take_stats(lt::session_stats_alert const& a)
{
    shim_event_t ev{};
    auto const values = a.counters();

    stats.assign(values.begin(), values.end());
    stats_whole = true;

    ev.type = SHIM_EVENT_STATS;
    events.push_back(ev);
}

extern "C" shim_rc_t shim_ask_stats(shim_t* s)
try
{
    s->ses->post_dht_stats();
    s->ses->post_session_stats();
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_stat(shim_t* s, uint32_t n, shim_stat_t* stat)
try
{
    if (n >= metrics().size())
        return SHIM_INVALID;

    lt::stats_metric const& m = metrics()[n];

    if (std::size_t(m.value_index) >= s->stats.size())
        return SHIM_INVALID;

    stat->name = m.name;
    stat->value = s->stats[std::size_t(m.value_index)];
    stat->gauge = m.type == lt::metric_type_t::gauge;
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_dht(shim_t* s, uint32_t n, shim_dht_t* dht)
try
{
    if (n >= s->dht.size())
        return SHIM_INVALID;

    *dht = s->dht[n];
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}
