#include "shim/torrent/piece_job.hpp"

#include <algorithm>
#include <cerrno>

#include <boost/asio/post.hpp>

namespace shim
{

namespace
{

/* Nothing came of the piece: its memory and its space are free. */
void give_up(piece_job& job)
{
    held_piece& h = job.held;

    if (!h.bytes)
        return;

    h.bytes.reset();

    if (h.store->mark(job.piece, h.generation, SHIM_PIECE_EMPTY) == 0)
        job.t->ctx->events.piece(
            SHIM_EVENT_PIECE_DROPPED, job.t->id, job.piece);
}

} // namespace

void answer_aborted(piece_job& job, bool const unwant)
{
    give_up(job);
    job.t->answer_aborted(job.piece, job.handler, job.held.writes, unwant);
}

void post_aborted(lt::io_context& ioc, std::unique_ptr<piece_job> job)
{
    give_up(*job);
    boost::asio::post(
        ioc, [job = std::move(job)] { answer_aborted(*job, false); });
}

void verify_job::run()
{
    held_piece& h = m_job->held;

    if (h.store->mark(m_job->piece, h.generation, SHIM_PIECE_HASHING) != 0)
    {
        cancel();
        return;
    }

    piece_check const c =
        m_job->info->hashes->check(m_job->piece, h.bytes->data());

    switch (c.result)
    {
    case verdict::good:
        good();
        break;

    case verdict::bad:
        bad(c);
        break;

    case verdict::unknown:
        unknown();
        break;

    case verdict::inconsistent:
        contradiction();
        break;
    }
}

void verify_job::cancel()
{
    lt::io_context& ioc = *m_job->t->ctx->ioc;

    post_aborted(ioc, std::move(m_job));
}

void verify_job::good()
{
    held_piece& h = m_job->held;
    int const rc = h.store->write(
        m_job->piece, h.generation, h.bytes->data(), h.bytes->size());

    if (rc != 0)
    {
        refused(rc);
        return;
    }

    h.bytes.reset();
    publish();
}

void verify_job::publish()
{
    std::shared_ptr<torrent> const t = m_job->t;
    std::shared_ptr<storage> const store = m_job->held.store;
    std::uint32_t const piece = m_job->piece;
    std::uint32_t const generation = m_job->held.generation;
    lt::io_context& ioc = *t->ctx->ioc;

    t->wants.publishing(piece);

    boost::asio::post(ioc,
        [job = std::move(m_job)]
        {
            answer_aborted(*job, true);
            job->t->credit(job->held.senders);
        });

    int const rc = store->mark(piece, generation, SHIM_PIECE_COMPLETE);

    if (t->wants.published(piece, *store))
        t->poke();

    if (rc != 0)
        return;

    t->ctx->events.piece(SHIM_EVENT_PIECE, t->id, piece);
    boost::asio::post(ioc, [t, piece] { t->announce_have(piece); });
}

/* The storage could not take the piece, or had no use for it any more. */
void verify_job::refused(int const error)
{
    torrent& t = *m_job->t;

    if (error != ESTALE && t.wants.park(m_job->piece) && error != EAGAIN)
    {
        t.ctx->events.piece(
            SHIM_EVENT_STORAGE_ERROR, t.id, m_job->piece, error);
    }

    cancel();
}

void verify_job::bad(piece_check const& c)
{
    std::shared_ptr<torrent> const t = m_job->t;
    std::uint32_t const piece = m_job->piece;

    m_job->held.bytes.reset();
    m_job->held.store->mark(piece, m_job->held.generation, SHIM_PIECE_EMPTY);

    std::size_t const n =
        std::min(c.blocks.size(), std::size_t(m_job->blocks.size()));

    std::copy_n(c.blocks.begin(), n, m_job->blocks.begin());

    boost::asio::post(*t->ctx->ioc,
        [job = std::move(m_job), v1 = c.v1]
        {
            job->t->suspicious = true;

            for (write_handler const& w : job->held.writes)
                w(lt::storage_error());

            job->handler(
                lt::piece_index_t(int(job->piece)), v1, lt::storage_error());
        });

    t->ctx->events.piece(SHIM_EVENT_PIECE_FAILED, t->id, piece);
}

void verify_job::unknown()
{
    lt::io_context& ioc = *m_job->t->ctx->ioc;

    boost::asio::post(ioc,
        [job = std::move(m_job)]() mutable
        {
            layer_queue* const layers = job->layers;
            layers->wait_for_layers(std::move(job));
        });
}

void verify_job::contradiction()
{
    std::shared_ptr<torrent> const t = m_job->t;

    t->wants.close();
    t->poke();
    cancel();
    t->ctx->events.text(SHIM_EVENT_TORRENT_ERROR,
        t->id,
        SHIM_LOG_ERR,
        "v1 and v2 hashes contradict each other");
}

} // namespace shim
