#include "shim/base/settings.hpp"

#include <algorithm>

#include <boost/asio/ip/address_v4.hpp>

#include <libtorrent/address.hpp>
#include <libtorrent/alert.hpp>
#include <libtorrent/session.hpp>

#include "shim/metainfo/info_dict.hpp"

namespace shim
{

namespace
{

using lt::settings_pack;

void set_alerts(settings_pack& p)
{
    p.set_int(settings_pack::alert_mask,
        int(static_cast<std::uint32_t>(lt::alert_category::error
            | lt::alert_category::status | lt::alert_category::tracker)));
    p.set_int(settings_pack::alert_queue_size, 20000);
}

/* Nothing may pause a torrent or disconnect a peer behind our back. */
void set_policy(settings_pack& p)
{
    p.set_bool(settings_pack::close_redundant_connections, false);
    p.set_int(settings_pack::active_downloads, -1);
    p.set_int(settings_pack::active_seeds, -1);
    p.set_int(settings_pack::active_limit, -1);
    p.set_int(settings_pack::active_dht_limit, -1);
    p.set_int(settings_pack::active_tracker_limit, -1);
    p.set_int(settings_pack::active_lsd_limit, -1);
    p.set_int(settings_pack::active_checking, -1);

    /* we never have anything as libtorrent sees it */
    p.set_int(settings_pack::initial_picker_threshold, 0);
    p.set_int(settings_pack::predictive_piece_announce, 0);
    p.set_int(settings_pack::suggest_mode, settings_pack::no_piece_suggestions);
    p.set_bool(settings_pack::auto_sequential, false);
    p.set_bool(settings_pack::piece_extent_affinity, false);

    /* trust is given back by peer::trust() */
    p.set_bool(settings_pack::use_parole_mode, true);

    /* blocks of partial pieces count as queued for as long as we hold them */
    p.set_int(settings_pack::max_queued_disk_bytes, 1 << 30);
}

/* The first byte must cost round trips, not time-outs. */
void set_latency(settings_pack& p)
{
    p.set_int(settings_pack::tick_interval, 100);
    p.set_bool(settings_pack::smooth_connects, false);
    p.set_int(settings_pack::connection_speed, 200);
    p.set_int(settings_pack::torrent_connect_boost, 255);
    p.set_int(settings_pack::min_reconnect_time, 2);
    p.set_int(settings_pack::peer_connect_timeout, 7);
    p.set_int(settings_pack::handshake_timeout, 7);
    p.set_bool(settings_pack::announce_to_all_trackers, true);
    p.set_bool(settings_pack::announce_to_all_tiers, true);

    /* what is requested already delays a seek; stalled peers delay a piece */
    p.set_int(settings_pack::request_queue_time, 1);
    p.set_int(settings_pack::piece_timeout, 6);
    p.set_int(settings_pack::request_timeout, 10);
    p.set_bool(settings_pack::strict_end_game_mode, false);
    p.set_bool(settings_pack::prioritize_partial_pieces, false);
}

void set_transport(settings_pack& p, shim_config_t const& c)
{
    /* the next port may be that of another cache */
    p.set_int(settings_pack::max_retry_port_bind, 0);

    p.set_bool(settings_pack::enable_incoming_utp, c.utp != 0);
    p.set_bool(settings_pack::enable_incoming_tcp, c.tcp != 0);
    p.set_bool(settings_pack::enable_outgoing_tcp, c.tcp != 0);

    /*
     * TCP first: libtorrent tries uTP and, if nobody answers, TCP after a
     * time-out of seconds, and uTP yields to other traffic where a reader
     * waits.  uTP is dialled if TCP is off, and for peers that TCP did not
     * reach: torrent::unreached().
     */
    p.set_bool(settings_pack::enable_outgoing_utp, c.utp != 0 && c.tcp == 0);
    p.set_int(settings_pack::mixed_mode_algorithm, settings_pack::prefer_tcp);
    p.set_int(settings_pack::utp_connect_timeout, 1500);
    p.set_int(settings_pack::utp_syn_resends, 1);

    p.set_int(settings_pack::out_enc_policy, settings_pack::pe_enabled);
    p.set_int(settings_pack::in_enc_policy, settings_pack::pe_enabled);
    p.set_int(settings_pack::allowed_enc_level, settings_pack::pe_both);
    p.set_bool(settings_pack::prefer_rc4, false);

    /* several peers behind one address are common, and all of loopback */
    p.set_bool(settings_pack::allow_multiple_connections_per_ip, true);

    p.set_int(settings_pack::send_buffer_watermark, 3 << 20);
    p.set_int(settings_pack::max_allowed_in_request_queue, 500);
    p.set_int(settings_pack::max_out_request_queue, 1500);
}

void set_limits(settings_pack& p, shim_config_t const& c)
{
    p.set_int(settings_pack::connections_limit,
        c.max_connections != 0 ? int(c.max_connections) : 500);
    p.set_int(settings_pack::upload_rate_limit, int(c.upload_rate));
    p.set_int(settings_pack::download_rate_limit, int(c.download_rate));
    p.set_int(settings_pack::unchoke_slots_limit, 16);

    /*
     * One that hangs, or that may not be connected to, takes its place for as
     * long as it is tried: with 3, as by default, those that work may never
     * be reached.
     */
    p.set_int(settings_pack::max_web_seed_connections, 50);

    p.set_int(settings_pack::max_metadata_size, max_metainfo);
    p.set_int(settings_pack::max_piece_count, int(max_pieces));
    p.set_int(settings_pack::metadata_token_limit, max_tokens);
}

/*
 * What is not of the Internet, RFC 6890: this host,
 * loopback, private, shared by carriers, link-local, protocol assignments,
 * benchmarks, multicast, reserved; of IPv6 the unspecified address and
 * loopback, which are in a reserved block with the IPv4-mapped ones, local use
 * of NAT64, unique local, link-local, site-local, multicast.
 */
struct network
{
    char const* first;
    char const* last;
};

constexpr network private_networks[] = {
    {"0.0.0.0", "0.255.255.255"},
    {"10.0.0.0", "10.255.255.255"},
    {"100.64.0.0", "100.127.255.255"},
    {"127.0.0.0", "127.255.255.255"},
    {"169.254.0.0", "169.254.255.255"},
    {"172.16.0.0", "172.31.255.255"},
    {"192.0.0.0", "192.0.0.255"},
    {"192.168.0.0", "192.168.255.255"},
    {"198.18.0.0", "198.19.255.255"},
    {"224.0.0.0", "255.255.255.255"},
    {"::", "0:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"},
    {"fc00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
};

/* IPv6 addresses with an IPv4 address in them, at byte "at". */
struct embedding
{
    std::uint8_t prefix[12];
    std::size_t at;
};

constexpr embedding embeddings[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 12}, /* IPv4-mapped */
    {{0, 0x64, 0xff, 0x9b}, 12},                      /* NAT64 */
    {{0x20, 0x02}, 2},                                /* 6to4 */
};

lt::address_v6 embed(
    embedding const& e, lt::address_v4 const& a, std::uint8_t const fill)
{
    lt::address_v6::bytes_type out;
    lt::address_v4::bytes_type const in = a.to_bytes();

    out.fill(fill);
    std::copy_n(e.prefix, e.at, out.begin());
    std::copy(in.begin(), in.end(), out.begin() + std::ptrdiff_t(e.at));
    return lt::address_v6(out);
}

/* An address of IPv4 is blocked in all of its forms. */
void block(
    lt::ip_filter& filter, lt::address const& first, lt::address const& last)
{
    filter.add_rule(first, last, lt::ip_filter::blocked);

    if (!first.is_v4())
        return;

    for (embedding const& e : embeddings)
    {
        filter.add_rule(embed(e, first.to_v4(), 0),
            embed(e, last.to_v4(), 0xff),
            lt::ip_filter::blocked);
    }
}

/* libtorrent tells trackers one address. */
std::string first(char const* const list)
{
    std::string const s = list ? list : "";

    return s.substr(0, s.find(','));
}

} // namespace

lt::ip_filter make_filter(shim_config_t const& c)
{
    lt::ip_filter filter;

    for (network const& n : private_networks)
    {
        if (c.private_networks == 0)
            block(filter, lt::make_address(n.first), lt::make_address(n.last));
    }

    for (std::size_t i = 0; i < c.blocked_n; ++i)
    {
        lt::address_v6::bytes_type first;
        lt::address_v6::bytes_type last;

        std::copy_n(c.blocked[i].first, 16, first.begin());
        std::copy_n(c.blocked[i].last, 16, last.begin());

        lt::address_v6 const a(first);
        lt::address_v6 const b(last);

        if (a.is_v4_mapped() && b.is_v4_mapped())
        {
            block(filter,
                boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, a),
                boost::asio::ip::make_address_v4(
                    boost::asio::ip::v4_mapped, b));
        }
        else
        {
            block(filter, a, b);
        }
    }

    return filter;
}

lt::ip_filter limit_all(lt::ip_filter const& classes)
{
    lt::ip_filter filter;
    std::uint32_t const all = 1U
        << static_cast<std::uint32_t>(lt::session::global_peer_class_id);
    auto const [v4, v6] = classes.export_filter();

    for (auto const& r : v4)
        filter.add_rule(r.first, r.last, r.flags | all);

    for (auto const& r : v6)
        filter.add_rule(r.first, r.last, r.flags | all);

    return filter;
}

settings_pack make_settings(shim_config_t const& c)
{
    settings_pack p;

    set_alerts(p);
    set_policy(p);
    set_latency(p);
    set_transport(p, c);
    set_limits(p, c);

    p.set_str(settings_pack::user_agent, c.user_agent ? c.user_agent : "");
    p.set_str(settings_pack::listen_interfaces, c.listen ? c.listen : "");
    p.set_str(settings_pack::dht_bootstrap_nodes,
        c.dht_bootstrap ? c.dht_bootstrap : "");
    p.set_str(settings_pack::announce_ip, first(c.public_ip));
    p.set_bool(settings_pack::enable_dht, c.dht != 0);
    p.set_bool(settings_pack::enable_lsd, c.lsd != 0);
    p.set_bool(settings_pack::enable_upnp, c.upnp != 0);
    p.set_bool(settings_pack::enable_natpmp, c.upnp != 0);
    p.set_int(settings_pack::stop_tracker_timeout, 1);

    return p;
}

} // namespace shim
