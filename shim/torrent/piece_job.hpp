/*
 * A piece whose blocks have all come: what is held of it, and the job that
 * hashes it and acts on the verdict.  See disk.hpp.
 */

#ifndef CONFLUENCE_SHIM_VERIFY_HPP
#define CONFLUENCE_SHIM_VERIFY_HPP

#include <memory>

#include <libtorrent/span.hpp>

#include "shim/base/hash_pool.hpp"
#include "shim/torrent/torrent.hpp"

namespace shim
{

struct piece_job;

/* Who keeps a piece whose v2 hash has yet to come.  Network thread. */
class layer_queue
{
public:
    virtual void wait_for_layers(std::unique_ptr<piece_job> job) = 0;

protected:
    ~layer_queue() = default;
};

/* A whole piece on its way to its verdict. */
struct piece_job
{
    std::shared_ptr<torrent> t;
    std::shared_ptr<layout const> info;
    layer_queue* layers = nullptr;
    std::uint32_t piece = 0;
    held_piece held;
    hash_handler handler;
    lt::span<lt::sha256_hash> blocks; /* the handler's */
};

/* Answers libtorrent's jobs as aborted.  Network thread; the other posts it. */
void answer_aborted(piece_job& job, bool unwant);
void post_aborted(lt::io_context& ioc, std::unique_ptr<piece_job> job);

class verify_job final : public hash_job
{
public:
    explicit verify_job(std::unique_ptr<piece_job> job)
        : m_job(std::move(job))
    {
    }

    void run() override;
    void cancel() override;

private:
    void good();
    void publish();
    void refused(int error);
    void bad(piece_check const& c);
    void unknown();
    void contradiction();

    std::unique_ptr<piece_job> m_job;
};

} // namespace shim

#endif
