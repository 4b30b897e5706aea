#include "verify.hpp"

#include <algorithm>

#include <boost/asio/post.hpp>

namespace shim
{

void answer_aborted(piece_job& job, bool const unwant)
{
    job.t->answer_aborted(job.piece, job.handler, job.held.writes, unwant);
}

void post_aborted(lt::io_context& ioc, std::unique_ptr<piece_job> job)
{
    boost::asio::post(
        ioc, [job = std::move(job)] { answer_aborted(*job, false); });
}

void verify_job::run(std::vector<char>& buf)
{
    piece_check const c = m_job->info->hashes->check(
        *m_job->store, m_job->piece, m_job->held.generation, buf);

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

    case verdict::read_error:
        if (m_job->t->wants.park(m_job->piece))
        {
            m_job->t->ctx->events.piece(
                SHIM_EVENT_STORAGE_ERROR, m_job->t->id, m_job->piece, c.error);
        }

        cancel();
        break;

    case verdict::stale:
        cancel();
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
    std::shared_ptr<torrent> const t = m_job->t;
    std::shared_ptr<storage> const store = m_job->store;
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

    int const rc = store->publish(piece, generation, true);

    if (t->wants.published(piece, *store))
        t->poke();

    if (rc != 0)
        return;

    t->ctx->events.piece(SHIM_EVENT_PIECE, t->id, piece);
    boost::asio::post(ioc, [t, piece] { t->announce_have(piece); });
}

void verify_job::bad(piece_check const& c)
{
    std::shared_ptr<torrent> const t = m_job->t;
    std::uint32_t const piece = m_job->piece;

    m_job->store->publish(piece, m_job->held.generation, false);

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
