/*
 * The exported functions.  What happens behind them, and why, is told in
 * torrent.hpp, disk.hpp, wants.hpp and peers.hpp.
 */

#include "shim/api/shim.h"

#include <cassert>
#include <cstring>

#include <pthread.h>
#include <signal.h>

#include <boost/asio/ip/tcp.hpp>

#include <libtorrent/version.hpp>

#include "shim/session.hpp"

namespace
{

namespace lt = libtorrent;

/*
 * Threads inherit the mask: signals are for the host's own threads, but for
 * SIGBUS, which is of whoever touches the storage.
 */
class signals_blocked
{
public:
    signals_blocked()
    {
        sigset_t all;

        sigfillset(&all);
        sigdelset(&all, SIGBUS);
        pthread_sigmask(SIG_SETMASK, &all, &m_old);
    }

    ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &m_old, nullptr); }

private:
    sigset_t m_old;
};

/* "1.2.3.4:5", "[::1]:5", "name:5" */
bool split_host_port(std::string const& s, std::string& host, std::string& port)
{
    std::size_t const colon = s.rfind(':');

    if (colon == std::string::npos || colon == 0 || colon + 1 == s.size()
        || s.size() - colon > 6)
    {
        return false;
    }

    host = s.substr(0, colon);
    port = s.substr(colon + 1);

    if (port.find_first_not_of("0123456789") != std::string::npos
        || std::stoul(port) == 0 || std::stoul(port) > 65535)
    {
        return false;
    }

    if (host.front() == '[')
    {
        if (host.size() < 3 || host.back() != ']')
            return false;

        host = host.substr(1, host.size() - 2);
        return host.find(':') != std::string::npos;
    }

    return host.find(':') == std::string::npos
        && host.find_first_of(" /@") == std::string::npos;
}

void resolve_and_dial(std::shared_ptr<shim::torrent> const& t,
    std::string const& host,
    std::string const& port)
{
    auto resolver =
        std::make_shared<boost::asio::ip::tcp::resolver>(*t->ctx->ioc);

    resolver->async_resolve(host,
        port,
        [t, resolver](lt::error_code const& ec,
            boost::asio::ip::tcp::resolver::results_type const& results)
        {
            if (ec)
            {
                t->ctx->events.log(t->id,
                    SHIM_LOG_INFO,
                    "peer could not be resolved: " + ec.message());
                return;
            }

            for (auto const& r : results)
                t->dial(r.endpoint());
        });
}

shim_rc_t add(shim_s& s,
    lt::add_torrent_params& p,
    std::shared_ptr<shim::layout> info,
    shim::sources from,
    shim_id_t& id)
{
    lt::error_code ec;
    lt::torrent_handle h;
    bool const empty = info && !p.ti;
    lt::info_hash_t const ih = info ? info->ih : p.info_hashes;
    shim_slot const* const before = s.find_empty(ih);
    shim_id_t exists = before != nullptr ? before->t->id : 0;

    if (s.override_trackers)
        from.trackers.clear();

    if (!s.trackers || s.override_trackers)
    {
        p.trackers.clear();
        p.tracker_tiers.clear();
        p.flags |= lt::torrent_flags::override_trackers;
    }

    /* the table of slots may move */
    shim_id_t const fresh = s.new_id();
    auto const t = std::make_shared<shim::torrent>(s.ctx, fresh);

    /* the hashes must be there before the first block is */
    t->set_info(info);
    p.userdata = lt::client_data_t(t.get());

    if (exists == 0 && !empty)
        h = s.ses->add_torrent(p, ec);

    /* by that name, or by the other name of a hybrid */
    if (exists == 0 && (empty || ec == lt::errors::duplicate_torrent))
    {
        lt::torrent_handle const old = s.ses->find_torrent(ih.get_best());
        shim_slot const* const slot = old.is_valid() ? s.find(old) : nullptr;

        exists = slot != nullptr ? slot->t->id : 0;
    }

    if (exists != 0 || ec)
        s.free_id(fresh);

    if (exists != 0)
    {
        id = exists;
        return SHIM_EXISTS;
    }

    if (ec)
        throw shim::invalid_data(ec.message());

    shim_slot& slot = s.slots[(fresh & 0xffffffff) - 1];

    slot.t = t;
    slot.handle = h;
    slot.sources = std::move(from);
    id = fresh;

    for (auto const& [host, port] : slot.sources.nodes)
        s.add_node(host, port);

    if (info)
        s.set_info(slot, std::move(info));

    return SHIM_OK;
}

/* As though a peer had told it; false if libtorrent does not take it. */
bool tell_info(shim_slot const& slot, lt::torrent_info const& ti)
{
    return slot.handle.is_valid()
        && (slot.handle.set_metadata(ti.info_section())
            || slot.handle.torrent_file());
}

} // namespace

extern "C" shim_rc_t shim_open(
    shim_config_t const* config, shim_t** out, char* err, size_t err_size)
try
{
    signals_blocked const blocked;

    *out = new shim_s(*config);
    return SHIM_OK;
}
catch (...)
{
    return shim::report_current_exception(err, err_size);
}

extern "C" void shim_close(shim_t* s, uint32_t deadline_ms)
try
{
    std::unique_ptr<shim_s> const closing(s);
    lt::settings_pack p;
    uint32_t const wait =
        deadline_ms < 500 ? 0 : std::max(deadline_ms / 1000, 1U);

    assert(s->on_owner_thread());

    p.set_int(lt::settings_pack::stop_tracker_timeout, int(wait));
    s->ses->apply_settings(p);

    for (shim_slot& slot : s->slots)
    {
        if (slot.t)
            slot.t->close();
    }

    {
        lt::session_proxy const joins = s->ses->abort();
        s->ses.reset();
    }

    s->slots.clear();
    s->ctx->pool.stop();
}
catch (...)
{
    /* out of memory while stopping: nothing is left to be told to anybody */
}

extern "C" int shim_event_fd(shim_t* s)
{
    return s->ctx->events.fd();
}

extern "C" shim_rc_t shim_add(
    shim_t* s, shim_add_t const* a, shim_id_t* id, char* err, size_t err_size)
try
{
    shim::sources from;
    std::shared_ptr<shim::layout> info;

    assert(s->on_owner_thread());
    *id = 0;

    lt::add_torrent_params p = shim::make_params(*a, info, from);

    return add(*s, p, std::move(info), std::move(from), *id);
}
catch (...)
{
    return shim::report_current_exception(err, err_size);
}

extern "C" shim_rc_t shim_replace(shim_t* s,
    shim_id_t old,
    shim_add_t const* a,
    shim_id_t* id,
    char* err,
    size_t err_size)
try
{
    shim::sources from;
    std::shared_ptr<shim::layout> info;
    shim_slot* const slot = s->find(old);

    assert(s->on_owner_thread());
    *id = 0;

    if (slot == nullptr)
        return SHIM_GONE;

    lt::add_torrent_params p = shim::make_params(*a, info, from);

    if (p.ti && tell_info(*slot, *p.ti))
    {
        s->merge(*slot, from, !s->override_trackers);
        s->set_info(*slot, std::move(info));
        *id = old;
        return SHIM_OK;
    }

    shim::sources const before = slot->sources;

    shim_remove(s, old);

    shim_rc_t const rc = add(*s, p, std::move(info), std::move(from), *id);

    if (rc == SHIM_OK)
        s->merge(*s->find(*id), before, true);

    return rc;
}
catch (...)
{
    return shim::report_current_exception(err, err_size);
}

extern "C" shim_rc_t shim_remove(shim_t* s, shim_id_t id)
try
{
    shim_slot* const slot = s->find(id);

    assert(s->on_owner_thread());

    if (slot == nullptr)
        return SHIM_GONE;

    slot->t->close();

    if (slot->handle.is_valid())
        s->ses->remove_torrent(slot->handle);

    s->free_id(id);
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" int shim_blocks(shim_t* s, void const* address, size_t len)
try
{
    lt::address_v4::bytes_type v4;
    lt::address_v6::bytes_type v6;

    if (len == v4.size())
    {
        std::memcpy(v4.data(), address, v4.size());
        return s->ctx->blocks(lt::address_v4(v4));
    }

    if (len == v6.size())
    {
        std::memcpy(v6.data(), address, v6.size());
        return s->ctx->blocks(lt::address_v6(v6));
    }

    return 1;
}
catch (...)
{
    return 1;
}

extern "C" shim_rc_t shim_add_peer(
    shim_t* s, shim_id_t id, char const* host_port)
try
{
    std::string host;
    std::string port;
    lt::error_code ec;
    shim_slot* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    if (!split_host_port(host_port, host, port))
        return SHIM_INVALID;

    auto const address = boost::asio::ip::make_address(host, ec);

    if (ec)
    {
        boost::asio::post(*s->ctx->ioc,
            [t = slot->t, host, port] { resolve_and_dial(t, host, port); });
        return SHIM_OK;
    }

    lt::tcp::endpoint const ep(address, std::uint16_t(std::stoul(port)));

    boost::asio::post(*s->ctx->ioc, [t = slot->t, ep] { t->dial(ep); });
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_attach(shim_t* s, shim_id_t id, void* ctx)
try
{
    shim_slot* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    slot->t->attach(
        std::make_shared<shim::storage>(s->ctx->storage_calls, ctx));
    boost::asio::post(*s->ctx->ioc, [t = slot->t] { t->announce_all(); });
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_want(
    shim_t* s, shim_id_t id, shim_want_t const* want, uint32_t n, int restart)
try
{
    shim_slot* const slot = s->find(id);

    assert(s->on_owner_thread());

    if (slot == nullptr)
        return SHIM_GONE;

    if (!slot->info)
        return SHIM_NOT_READY;

    std::shared_ptr<shim::storage> const store = slot->t->store();

    if (slot->t->wants.replace(
            want, n, slot->info->piece_n, restart != 0, store.get()))
    {
        slot->t->poke();
    }

    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_have(
    shim_t* s, shim_id_t id, uint32_t first, uint32_t n)
try
{
    shim_slot* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    boost::asio::post(*s->ctx->ioc,
        [t = slot->t, first, n]
        {
            for (std::uint32_t i = 0; i < n; ++i)
                t->announce_have(first + i);
        });
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_forget(
    shim_t* s, shim_id_t id, uint32_t first, uint32_t n)
try
{
    shim_slot* const slot = s->find(id);

    if (slot == nullptr)
        return SHIM_GONE;

    boost::asio::post(
        *s->ctx->ioc, [t = slot->t, first, n] { t->forget(first, n); });
    return SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" int shim_next_event(shim_t* s, shim_event_t* ev)
try
{
    assert(s->on_owner_thread());

    if (s->events.empty())
    {
        std::vector<lt::alert*> alerts;

        s->ctx->events.take(s->events);
        s->ses->pop_alerts(&alerts);

        for (lt::alert const* a : alerts)
            s->translate(*a);
    }

    if (s->events.empty())
        return 0;

    *ev = s->events.front();
    s->events.pop_front();
    return 1;
}
catch (...)
{
    return 0;
}

extern "C" char const* shim_version(void)
{
    return "libtorrent " LIBTORRENT_VERSION;
}
