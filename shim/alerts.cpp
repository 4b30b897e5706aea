/*
 * libtorrent's alerts, made events.  Owner thread.
 */

#include <algorithm>

#include <boost/asio/post.hpp>

#include <libtorrent/alert_types.hpp>

#include "shim/session.hpp"

namespace
{

namespace lt = libtorrent;

void listening(shim_s& s, lt::listen_succeeded_alert const& a)
{
    shim_event_t ev{};

    if (a.socket_type != lt::socket_type_t::tcp
        && a.socket_type != lt::socket_type_t::utp)
    {
        return;
    }

    lt::tcp::endpoint const at(a.address, std::uint16_t(a.port));
    bool const wanted = s.where.opened(a.socket_type, at);

    /* as a rule both say the same */
    if (a.socket_type == lt::socket_type_t::utp && s.where.has_tcp(at))
        return;

    ev.type = SHIM_EVENT_LISTENING;
    ev.level = wanted ? SHIM_LOG_NOTICE : SHIM_LOG_WARN;
    ev.port = std::uint16_t(a.port);
    shim::copy_text(ev.text,
        sizeof(ev.text),
        a.address.to_string() + " port " + std::to_string(a.port)
            + (wanted ? "" : " until the port that is configured is free"));
    s.events.push_back(ev);

    if (s.port == 0)
        s.port = ev.port;

    std::string const address =
        shim::endpoint_text(lt::tcp::endpoint(a.address, ev.port));

    if (std::find(s.addresses.begin(), s.addresses.end(), address)
        == s.addresses.end())
    {
        s.addresses.push_back(address);
    }
}

void listen_failed(shim_s& s, lt::listen_failed_alert const& a)
{
    shim_event_t ev{};

    /* as of an interface that is not up yet, or of IPv6 while it is checked */
    if (a.error == boost::asio::error::address_in_use
        || a.error == boost::system::errc::address_not_available)
        s.where.refused(a.socket_type, a.address);

    ev.type = SHIM_EVENT_LISTEN_FAILED;
    ev.level = SHIM_LOG_ERR;
    ev.port = std::uint16_t(a.port);
    shim::copy_text(ev.text,
        sizeof(ev.text),
        "listen on " + a.address.to_string() + ":" + std::to_string(a.port)
            + " failed: " + a.error.message());
    s.events.push_back(ev);
}

void torrent_event(shim_s& s,
    shim_event_type_t const type,
    shim_id_t const id,
    int const level,
    std::string const& text)
{
    shim_event_t ev{};

    ev.type = type;
    ev.id = id;
    ev.level = std::uint8_t(level);
    shim::copy_text(ev.text, sizeof(ev.text), text);
    s.events.push_back(ev);
}

void metadata_received(shim_s& s, shim_slot& slot)
{
    std::shared_ptr<lt::torrent_info const> const ti =
        slot.handle.torrent_file();

    if (slot.info || !ti)
        return;

    try
    {
        s.set_info(slot, shim::make_layout(*ti));
    }
    catch (std::exception const& e)
    {
        slot.handle.pause();
        torrent_event(s,
            SHIM_EVENT_TORRENT_ERROR,
            slot.t->id,
            SHIM_LOG_ERR,
            std::string("metadata: ") + e.what());
    }
}

void torrent_alert(shim_s& s, shim_slot& slot, lt::alert const& a)
{
    shim_id_t const id = slot.t->id;

    if (lt::alert_cast<lt::metadata_received_alert>(&a) != nullptr)
    {
        metadata_received(s, slot);
    }
    else if (auto const* r = lt::alert_cast<lt::tracker_reply_alert>(&a))
    {
        slot.tracker_peers[r->tracker_url()] = r->num_peers;
    }
    else if (auto const* e = lt::alert_cast<lt::tracker_error_alert>(&a))
    {
        char const* const reason = e->error_message();

        torrent_event(s,
            SHIM_EVENT_LOG,
            id,
            SHIM_LOG_INFO,
            std::string("tracker \"") + e->tracker_url()
                + "\": " + e->error.message()
                + (*reason != '\0' ? std::string(": ") + reason : ""));
    }
    else if (auto const* w = lt::alert_cast<lt::tracker_warning_alert>(&a))
    {
        torrent_event(s,
            SHIM_EVENT_LOG,
            id,
            SHIM_LOG_INFO,
            std::string("tracker \"") + w->tracker_url()
                + "\": " + w->warning_message());
    }
    else if (auto const* f = lt::alert_cast<lt::metadata_failed_alert>(&a))
    {
        /* if it is final, torrent_error_alert comes too */
        torrent_event(s,
            SHIM_EVENT_LOG,
            id,
            SHIM_LOG_INFO,
            "metadata from a peer refused: " + f->error.message());

        boost::asio::post(*s.ctx->ioc, [t = slot.t] { t->metadata_refused(); });
    }
    else if (auto const* t = lt::alert_cast<lt::torrent_error_alert>(&a))
    {
        torrent_event(
            s, SHIM_EVENT_TORRENT_ERROR, id, SHIM_LOG_ERR, t->error.message());
    }
}

} // namespace

void shim_s::translate(lt::alert const& a)
{
    if (auto const* l = lt::alert_cast<lt::listen_succeeded_alert>(&a))
    {
        listening(*this, *l);
    }
    else if (auto const* f = lt::alert_cast<lt::listen_failed_alert>(&a))
    {
        listen_failed(*this, *f);
    }
    else if (auto const* e = lt::alert_cast<lt::session_error_alert>(&a))
    {
        torrent_event(*this, SHIM_EVENT_LOG, 0, SHIM_LOG_ERR, e->message());
    }
    else if (auto const* d = lt::alert_cast<lt::dht_stats_alert>(&a))
    {
        take_stats(*d);
    }
    else if (auto const* c = lt::alert_cast<lt::session_stats_alert>(&a))
    {
        take_stats(*c);
    }
    else if (auto const* d = lt::alert_cast<lt::dht_direct_response_alert>(&a))
    {
        items->answer(*d, events);
    }
    else if (auto const* n = lt::alert_cast<lt::dht_live_nodes_alert>(&a))
    {
        items->answer(*n, events);
    }
    else if (auto const* t = dynamic_cast<lt::torrent_alert const*>(&a))
    {
        if (shim_slot* const slot = find(t->handle))
            torrent_alert(*this, *slot, a);
    }
}
