/*
 * What all parts of one shim share.  Lives until the last plugin, disk object
 * and torrent of the session are gone.
 */

#ifndef CONFLUENCE_SHIM_CONTEXT_HPP
#define CONFLUENCE_SHIM_CONTEXT_HPP

#include <atomic>
#include <memory>
#include <unordered_map>

#include <libtorrent/io_context.hpp>

#include "shim/base/event_queue.hpp"
#include "shim/base/greetings.hpp"
#include "shim/base/hash_pool.hpp"
#include "shim/base/settings.hpp"

namespace shim
{

namespace lt = libtorrent;

class torrent;
class uploader;

constexpr int hash_threads = 2;

struct context
{
    explicit context(shim_config_t const& config)
        : storage_calls(config.storage)
        , seed(config.seed != 0)
        , utp_after_tcp(config.utp != 0 && config.tcp != 0)
        , filter(make_filter(config))
        , greetings(config.camouflage && *config.camouflage
                  ? std::make_shared<camouflage>(config.camouflage, events)
                  : nullptr)
        , pool(hash_threads)
    {
    }

    shim_storage_t const storage_calls;
    bool const seed;
    bool const utp_after_tcp;
    lt::ip_filter const filter;
    event_queue events;
    std::shared_ptr<camouflage> const greetings; /* NULL: are not kept */
    std::atomic<std::size_t> held_bytes{0};      /* of pieces in memory */
    hash_pool pool;

    /* Not to be talked to: for what libtorrent does not filter.  Any thread. */
    bool blocks(lt::address const& a) const
    {
        return (filter.access(a) & lt::ip_filter::blocked) != 0;
    }

    /*
     * libtorrent's network thread, valid from shim_open() until the disk
     * object is told to abort; nobody posts after that.
     */
    lt::io_context* ioc = nullptr;

    /*
     * Network thread only.  The disk back end is told of a torrent by its
     * address in libtorrent; the plugin, which comes first, has put it here.
     */
    std::unordered_map<void const*, std::weak_ptr<torrent>> torrents;
    uploader* uploads = nullptr;
};

} // namespace shim

#endif
