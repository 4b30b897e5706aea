#include "shim/session.hpp"

#include <cstring>

#include <libtorrent/extensions/ut_metadata.hpp>
#include <libtorrent/extensions/ut_pex.hpp>
#include <libtorrent/session_params.hpp>

#include "shim/base/settings.hpp"
#include "shim/torrent/disk.hpp"
#include "shim/torrent/peer.hpp"

namespace lt = libtorrent;

shim_s::shim_s(shim_config_t const& config)
    : owner(std::this_thread::get_id())
    , trackers(config.trackers != 0)
    , override_trackers(config.override_trackers != 0)
    , ctx(std::make_shared<shim::context>(config))
    , listen(config.listen ? config.listen : "")
    , where(listen)
{
    lt::session_params params(shim::make_settings(config));

    params.disk_io_constructor = shim::make_disk(ctx);
    params.ip_filter = ctx->filter;
    params.extensions.clear();
    params.extensions.push_back(shim::make_plugin(ctx));
    ses = std::make_unique<lt::session>(std::move(params));
    ses->add_extension(&lt::create_ut_metadata_plugin);

    if (config.pex != 0)
        ses->add_extension(&lt::create_ut_pex_plugin);

    /* limits hold for peers on local networks, too */
    ses->set_peer_class_filter(shim::limit_all(ses->get_peer_class_filter()));

    items.emplace(*ses, *ctx);

    ses->set_alert_notify([c = ctx.get()] { c->events.wake(); });
}

shim_slot* shim_s::find(shim_id_t const id)
{
    std::uint64_t const n = (id & 0xffffffff);

    if (n == 0 || n > slots.size())
        return nullptr;

    shim_slot& slot = slots[n - 1];

    return slot.t && slot.generation == id >> 32 ? &slot : nullptr;
}

shim_slot* shim_s::find(lt::torrent_handle const& h)
{
    for (shim_slot& slot : slots)
    {
        if (slot.t && slot.handle == h)
            return &slot;
    }

    return nullptr;
}

shim_slot* shim_s::find_empty(lt::info_hash_t const& ih)
{
    for (shim_slot& slot : slots)
    {
        if (slot.t && slot.info && slot.info->piece_n == 0
            && slot.info->ih.v1 == ih.v1)
        {
            return &slot;
        }
    }

    return nullptr;
}

shim_id_t shim_s::new_id()
{
    if (free_slots.empty())
    {
        slots.emplace_back();
        free_slots.push_back(std::uint32_t(slots.size() - 1));
    }

    std::uint32_t const n = free_slots.back();

    free_slots.pop_back();
    return std::uint64_t(slots[n].generation) << 32 | (n + 1);
}

void shim_s::free_id(shim_id_t const id)
{
    std::uint32_t const n = std::uint32_t(id & 0xffffffff) - 1;
    std::uint32_t const generation = slots[n].generation + 1;

    slots[n] = shim_slot();
    slots[n].generation = generation == 0 ? 1 : generation;
    free_slots.push_back(n);
}

void shim_s::set_info(shim_slot& slot, std::shared_ptr<shim::layout const> info)
{
    shim_event_t ev{};

    slot.t->set_info(info);
    slot.info = std::move(info);

    if (slot.info->is_private && slot.handle.is_valid())
    {
        slot.handle.set_flags(lt::torrent_flags::disable_dht
            | lt::torrent_flags::disable_pex | lt::torrent_flags::disable_lsd);
    }

    ev.type = SHIM_EVENT_METADATA;
    ev.id = slot.t->id;
    events.push_back(ev);
    ctx->events.wake();
}

namespace shim
{

shim_rc_t report_current_exception(
    char* const err, std::size_t const err_size) noexcept
{
    shim_rc_t rc = SHIM_ERROR;
    char const* text = "unknown error";
    std::exception_ptr const current = std::current_exception();

    /* the text lives as long as current does */
    try
    {
        std::rethrow_exception(current);
    }
    catch (malformed_data const& e)
    {
        rc = SHIM_MALFORMED;
        text = e.what();
    }
    catch (no_info const& e)
    {
        rc = SHIM_NOT_READY;
        text = e.what();
    }
    catch (invalid_data const& e)
    {
        rc = SHIM_INVALID;
        text = e.what();
    }
    catch (std::exception const& e)
    {
        text = e.what();
    }
    catch (...)
    {
    }

    if (err == nullptr || err_size == 0)
        return rc;

    std::strncpy(err, text, err_size - 1);
    err[err_size - 1] = '\0';
    return rc;
}

} // namespace shim
