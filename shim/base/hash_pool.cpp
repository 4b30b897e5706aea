#include "shim/base/hash_pool.hpp"

namespace shim
{

hash_pool::hash_pool(int const threads)
{
    for (int i = 0; i < threads; ++i)
        m_threads.emplace_back([this] { loop(); });
}

hash_pool::~hash_pool()
{
    stop();

    {
        std::lock_guard<std::mutex> lock(m_mutex);
        m_quit = true;
    }

    m_work.notify_all();

    for (std::thread& t : m_threads)
        t.join();
}

void hash_pool::submit(std::unique_ptr<hash_job> job)
{
    {
        std::lock_guard<std::mutex> lock(m_mutex);

        if (!m_stopped)
        {
            m_jobs.push_back(std::move(job));
            m_work.notify_one();
            return;
        }
    }

    job->cancel();
}

void hash_pool::stop()
{
    std::deque<std::unique_ptr<hash_job>> jobs;

    {
        std::unique_lock<std::mutex> lock(m_mutex);
        m_stopped = true;
        jobs.swap(m_jobs);
        m_idle.wait(lock, [this] { return m_running == 0; });
    }

    for (auto& job : jobs)
        job->cancel();
}

void hash_pool::loop()
{
    std::unique_lock<std::mutex> lock(m_mutex);

    for (;;)
    {
        m_work.wait(lock, [this] { return m_quit || !m_jobs.empty(); });

        if (m_quit)
            return;

        std::unique_ptr<hash_job> job = std::move(m_jobs.front());
        m_jobs.pop_front();
        ++m_running;
        lock.unlock();

        job->run();
        job.reset();

        lock.lock();

        if (--m_running == 0)
            m_idle.notify_all();
    }
}

} // namespace shim
