#include "shim/torrent/disk.hpp"

#include <algorithm>
#include <cerrno>

#include <boost/asio/post.hpp>

#include <libtorrent/disk_buffer_holder.hpp>
#include <libtorrent/disk_interface.hpp>
#include <libtorrent/disk_observer.hpp>

#include "shim/torrent/peer.hpp"
#include "shim/torrent/piece_job.hpp"
#include "shim/torrent/torrent.hpp"

namespace shim
{

namespace
{

/* How long until unknown v2 hashes are looked for again. */
constexpr std::chrono::milliseconds layer_interval(50);

std::uint32_t number(lt::piece_index_t const piece)
{
    return std::uint32_t(static_cast<int>(piece));
}

/* libtorrent makes the storage first and calls the plugins later. */
struct slot
{
    void const* native = nullptr;
    std::shared_ptr<torrent> t;
};

class disk_io final : public lt::disk_interface,
                      public lt::buffer_allocator_interface,
                      private layer_queue
{
public:
    disk_io(lt::io_context& ioc, std::shared_ptr<context> ctx)
        : m_ioc(ioc)
        , m_ctx(std::move(ctx))
        , m_uploads(ioc)
        , m_layer_timer(ioc)
    {
        m_ctx->ioc = &ioc;
        m_ctx->uploads = &m_uploads;
    }

    lt::storage_holder new_torrent(lt::storage_params const& p,
        std::shared_ptr<void> const& native) override;
    void remove_torrent(lt::storage_index_t idx) override;

    bool async_write(lt::storage_index_t idx,
        lt::peer_request const& r,
        char const* buf,
        std::shared_ptr<lt::disk_observer> o,
        write_handler handler,
        lt::disk_job_flags_t flags) override;
    void async_hash(lt::storage_index_t idx,
        lt::piece_index_t piece,
        lt::span<lt::sha256_hash> v2,
        lt::disk_job_flags_t flags,
        hash_handler handler) override;
    void async_stop_torrent(
        lt::storage_index_t idx, std::function<void()> handler) override;
    void async_clear_piece(lt::storage_index_t idx,
        lt::piece_index_t piece,
        std::function<void(lt::piece_index_t)> handler) override;
    void abort(bool wait) override;

    /* What libtorrent asks of files that we do not have. */
    void async_read(lt::storage_index_t,
        lt::peer_request const&,
        std::function<void(lt::disk_buffer_holder, lt::storage_error const&)>
            handler,
        lt::disk_job_flags_t) override
    {
        boost::asio::post(m_ioc,
            [handler = std::move(handler)]
            { handler(lt::disk_buffer_holder(), aborted()); });
    }

    void async_hash2(lt::storage_index_t,
        lt::piece_index_t const piece,
        int,
        lt::disk_job_flags_t,
        std::function<void(lt::piece_index_t,
            lt::sha256_hash const&,
            lt::storage_error const&)> handler) override
    {
        boost::asio::post(m_ioc,
            [handler = std::move(handler), piece]
            { handler(piece, lt::sha256_hash(), aborted()); });
    }

    void async_move_storage(lt::storage_index_t,
        std::string path,
        lt::move_flags_t,
        std::function<void(
            lt::status_t, std::string const&, lt::storage_error const&)>
            handler) override
    {
        boost::asio::post(m_ioc,
            [handler = std::move(handler), path = std::move(path)]
            { handler(lt::status_t(), path, lt::storage_error()); });
    }

    void async_release_files(
        lt::storage_index_t, std::function<void()> handler) override
    {
        if (handler)
            boost::asio::post(m_ioc, std::move(handler));
    }

    void async_check_files(lt::storage_index_t,
        lt::add_torrent_params const*,
        lt::aux::vector<std::string, lt::file_index_t>,
        std::function<void(lt::status_t, lt::storage_error const&)> handler)
        override
    {
        boost::asio::post(m_ioc,
            [handler = std::move(handler)]
            { handler(lt::status_t(), lt::storage_error()); });
    }

    void async_rename_file(lt::storage_index_t,
        lt::file_index_t const file,
        std::string name,
        std::function<void(
            std::string const&, lt::file_index_t, lt::storage_error const&)>
            handler) override
    {
        boost::asio::post(m_ioc,
            [handler = std::move(handler), name = std::move(name), file]
            { handler(name, file, lt::storage_error()); });
    }

    void async_delete_files(
        lt::storage_index_t, lt::remove_flags_t, write_handler handler) override
    {
        boost::asio::post(m_ioc,
            [handler = std::move(handler)] { handler(lt::storage_error()); });
    }

    void async_set_file_priority(lt::storage_index_t,
        lt::aux::vector<lt::download_priority_t, lt::file_index_t> prio,
        std::function<void(lt::storage_error const&,
            lt::aux::vector<lt::download_priority_t, lt::file_index_t>)>
            handler) override
    {
        boost::asio::post(m_ioc,
            [handler = std::move(handler), prio = std::move(prio)]() mutable
            { handler(lt::storage_error(), std::move(prio)); });
    }

    void update_stats_counters(lt::counters&) const override {}
    std::vector<lt::open_file_state> get_status(
        lt::storage_index_t) const override
    {
        return {};
    }
    void submit_jobs() override {}
    void settings_updated() override {}
    void free_disk_buffer(char*) override {}

private:
    void wait_for_layers(std::unique_ptr<piece_job> job) override;
    std::shared_ptr<torrent> find(lt::storage_index_t idx);
    void refuse(
        torrent& t, std::uint32_t piece, int error, write_handler handler);
    void look_for_layers();
    void arm_layers();
    void submit(std::unique_ptr<piece_job> job);

    lt::io_context& m_ioc;
    std::shared_ptr<context> const m_ctx;
    uploader m_uploads;
    std::vector<slot> m_slots;
    std::vector<std::uint32_t> m_free;
    std::vector<std::unique_ptr<piece_job>> m_waiting;
    boost::asio::steady_timer m_layer_timer;
    bool m_layers_armed = false;
    bool m_aborted = false;
};

std::shared_ptr<torrent> disk_io::find(lt::storage_index_t const idx)
{
    slot& s = m_slots[static_cast<std::uint32_t>(idx)];

    if (!s.t)
    {
        auto const it = m_ctx->torrents.find(s.native);

        if (it != m_ctx->torrents.end())
            s.t = it->second.lock();
    }

    return s.t;
}

lt::storage_holder disk_io::new_torrent(
    lt::storage_params const&, std::shared_ptr<void> const& native)
{
    std::uint32_t n;

    if (m_free.empty())
    {
        n = std::uint32_t(m_slots.size());
        m_slots.emplace_back();
    }
    else
    {
        n = m_free.back();
        m_free.pop_back();
    }

    m_slots[n].native = native.get();
    return lt::storage_holder(lt::storage_index_t(n), *this);
}

void disk_io::remove_torrent(lt::storage_index_t const idx)
{
    auto const n = static_cast<std::uint32_t>(idx);

    if (m_slots[n].t)
        m_slots[n].t->abort_all_held();

    m_slots[n] = slot();
    m_free.push_back(n);
}

void disk_io::refuse(torrent& t,
    std::uint32_t const piece,
    int const error,
    write_handler handler)
{
    t.aborting[piece].push_back(std::move(handler));

    if (error == EEXIST)
    {
        t.wants.drop(piece);
    }
    else if (t.wants.park(piece) && error != EAGAIN)
    {
        t.ctx->events.piece(SHIM_EVENT_STORAGE_ERROR, t.id, piece, error);
    }

    boost::asio::post(m_ioc,
        [self = t.shared_from_this(), piece]
        {
            /* first, or the block would be requested again */
            self->reconcile();
            self->finish_aborts(piece);
        });
}

bool disk_io::async_write(lt::storage_index_t const idx,
    lt::peer_request const& r,
    char const* const buf,
    std::shared_ptr<lt::disk_observer>,
    write_handler handler,
    lt::disk_job_flags_t)
{
    std::shared_ptr<torrent> const t = find(idx);
    std::uint32_t const piece = number(r.piece);

    if (!t || m_aborted)
    {
        boost::asio::post(
            m_ioc, [handler = std::move(handler)] { handler(aborted()); });
        return false;
    }

    if (t->anchor_write(piece, handler))
        return false;

    int const rc = t->take_block(
        piece, std::uint32_t(r.start), buf, std::uint32_t(r.length), handler);

    if (rc != 0)
        refuse(*t, piece, rc, std::move(handler));

    return false;
}

void disk_io::async_hash(lt::storage_index_t const idx,
    lt::piece_index_t const piece,
    lt::span<lt::sha256_hash> const v2,
    lt::disk_job_flags_t,
    hash_handler handler)
{
    std::shared_ptr<torrent> const t = find(idx);
    std::uint32_t const k = number(piece);

    if (!t)
    {
        boost::asio::post(m_ioc,
            [handler = std::move(handler), piece]
            { handler(piece, lt::sha1_hash(), aborted()); });
        return;
    }

    if (t->anchor_hash(k, handler))
        return;

    auto job = std::make_unique<piece_job>();
    auto const it = t->held.find(k);

    job->t = t;
    job->info = t->info();
    job->layers = this;
    job->piece = k;
    job->handler = std::move(handler);
    job->blocks = v2;

    if (it != t->held.end())
    {
        job->held = std::move(it->second);
        t->held.erase(it);
    }

    auto const late = t->aborting.extract(k);

    if (late)
    {
        for (write_handler& w : late.mapped())
            job->held.writes.push_back(std::move(w));
    }

    if (m_aborted || !job->info || !job->held.bytes || late)
    {
        post_aborted(m_ioc, std::move(job));
        return;
    }

    submit(std::move(job));
}

void disk_io::submit(std::unique_ptr<piece_job> job)
{
    held_piece const& h = job->held;

    /* if it was evicted meanwhile, the job finds out by itself */
    h.store->mark(job->piece, h.generation, SHIM_PIECE_QUEUED);
    m_ctx->pool.submit(std::make_unique<verify_job>(std::move(job)));
}

void disk_io::async_stop_torrent(
    lt::storage_index_t const idx, std::function<void()> handler)
{
    if (std::shared_ptr<torrent> const t = find(idx))
    {
        t->abort_all_held();

        for (auto& job : m_waiting)
        {
            if (job && job->t == t)
                post_aborted(m_ioc, std::move(job));
        }
    }

    if (handler)
        boost::asio::post(m_ioc, std::move(handler));
}

void disk_io::async_clear_piece(lt::storage_index_t const idx,
    lt::piece_index_t const piece,
    std::function<void(lt::piece_index_t)> handler)
{
    if (std::shared_ptr<torrent> const t = find(idx))
        t->abort_held(number(piece));

    boost::asio::post(
        m_ioc, [handler = std::move(handler), piece] { handler(piece); });
}

/* libtorrent's last call: nothing may be left that has to be answered. */
void disk_io::abort(bool)
{
    m_aborted = true;
    m_uploads.stop();
    m_layer_timer.cancel();

    for (slot const& s : m_slots)
    {
        if (s.t)
            s.t->abort_all_held();
    }

    for (auto& job : m_waiting)
    {
        if (job)
            post_aborted(m_ioc, std::move(job));
    }

    m_waiting.clear();
    m_ctx->pool.stop();
}

void disk_io::wait_for_layers(std::unique_ptr<piece_job> job)
{
    if (m_aborted || job->t->closed())
    {
        answer_aborted(*job, false);
        return;
    }

    m_waiting.push_back(std::move(job));
    look_for_layers();
}

/*
 * libtorrent asks peers for the layers by itself and has verified those it
 * gives us; there is no alert that says when they came.
 */
void disk_io::look_for_layers()
{
    torrent* last = nullptr;
    std::vector<std::unique_ptr<piece_job>> waiting = std::move(m_waiting);

    m_waiting.clear();

    for (auto& job : waiting)
    {
        if (!job)
            continue;

        if (job->t->closed() || !job->t->handle.is_valid())
        {
            post_aborted(m_ioc, std::move(job));
            continue;
        }

        if (job->t.get() != last)
        {
            last = job->t.get();
            job->info->hashes->add_layers(job->t->handle.piece_layers());
        }

        if (job->info->hashes->known(job->piece))
            submit(std::move(job));
        else
            m_waiting.push_back(std::move(job));
    }

    arm_layers();
}

void disk_io::arm_layers()
{
    if (m_layers_armed || m_waiting.empty() || m_aborted)
        return;

    m_layers_armed = true;
    m_layer_timer.expires_after(layer_interval);
    m_layer_timer.async_wait(
        [this](lt::error_code const& ec)
        {
            /* on cancellation this object may be gone */
            if (ec)
                return;

            m_layers_armed = false;
            look_for_layers();
        });
}

} // namespace

lt::disk_io_constructor_type make_disk(std::shared_ptr<context> ctx)
{
    return [ctx = std::move(ctx)](lt::io_context& ioc,
               lt::settings_interface const&,
               lt::counters&) -> std::unique_ptr<lt::disk_interface>
    { return std::make_unique<disk_io>(ioc, ctx); };
}

} // namespace shim
