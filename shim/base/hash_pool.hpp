/*
 * Two threads that verify pieces.  A job is run or, once stop() was called,
 * cancelled, but never forgotten: it holds libtorrent's handlers.
 */

#ifndef CONFLUENCE_SHIM_HASH_POOL_HPP
#define CONFLUENCE_SHIM_HASH_POOL_HPP

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace shim
{

class hash_job
{
public:
    virtual ~hash_job() = default;

    /* Hash thread. */
    virtual void run() = 0;

    /* Any thread. */
    virtual void cancel() = 0;
};

class hash_pool
{
public:
    explicit hash_pool(int threads);
    ~hash_pool();
    hash_pool(hash_pool const&) = delete;
    hash_pool& operator=(hash_pool const&) = delete;

    /* Takes the job; after stop() it is cancelled at once. */
    void submit(std::unique_ptr<hash_job> job);

    /* Cancels what waits and returns when nothing runs any more. */
    void stop();

private:
    void loop();

    std::mutex m_mutex;
    std::condition_variable m_work;
    std::condition_variable m_idle;
    std::deque<std::unique_ptr<hash_job>> m_jobs;
    std::vector<std::thread> m_threads;
    int m_running = 0;
    bool m_stopped = false;
    bool m_quit = false;
};

} // namespace shim

#endif
