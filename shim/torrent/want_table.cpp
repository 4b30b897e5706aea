#include <algorithm>

#include "shim/torrent/want_table.hpp"

namespace shim
{

namespace
{

using std::chrono::milliseconds;

/*
 * A deadline that moved by less is not told: the caller counts from now in
 * each call, and libtorrent looks at deadlines once a second only.
 */
constexpr milliseconds sooner(250);
constexpr milliseconds later(3000);
constexpr milliseconds park_time(1000);

bool moved(clock::time_point const was, clock::time_point const is)
{
    bool const had = was != clock::time_point();
    bool const has = is != clock::time_point();

    if (had != has)
        return true;

    return has && (is + sooner < was || is > was + later);
}

} // namespace

bool want_table::changed()
{
    if (m_posted || (m_dirty.empty() && !m_restart))
        return false;

    m_posted = true;
    return true;
}

bool want_table::replace(shim_want_t const* const want,
    std::uint32_t const n,
    std::uint32_t const piece_n,
    bool const restart,
    storage const* const store)
{
    clock::time_point const now = clock::now();
    std::lock_guard<std::mutex> lock(m_mutex);

    if (m_closed)
        return false;

    ++m_round;
    m_due.clear();

    for (std::uint32_t i = 0; i < n; ++i)
    {
        shim_want_t const& w = want[i];
        std::uint8_t const priority =
            w.priority < 1 ? 1 : (w.priority > 7 ? 7 : w.priority);
        clock::time_point const deadline = w.deadline_ms < 0
            ? clock::time_point()
            : now + milliseconds(w.deadline_ms);

        if (w.piece >= piece_n)
            continue;

        if (deadline != clock::time_point())
            m_due.emplace_back(deadline, w.piece);

        auto const it = m_wanted.find(w.piece);

        if (it == m_wanted.end())
        {
            if (store != nullptr && store->complete(w.piece))
                continue;

            m_wanted.emplace(w.piece,
                entry{deadline,
                    clock::time_point(),
                    m_round,
                    priority,
                    state::active});
            m_dirty.push_back(w.piece);
            continue;
        }

        entry& e = it->second;
        e.round = m_round;

        if (e.priority != priority || moved(e.deadline, deadline))
        {
            e.priority = priority;
            e.deadline = deadline;
            m_dirty.push_back(w.piece);
        }
    }

    keep_order();

    for (auto it = m_wanted.begin(); it != m_wanted.end();)
    {
        if (it->second.round == m_round)
        {
            ++it;
            continue;
        }

        m_dirty.push_back(it->first);
        it = m_wanted.erase(it);
    }

    m_restart = m_restart || restart;
    m_last_wanted = now;

    return changed();
}

/*
 * Deadlines that moved a little are not told; that alone must not bring a piece
 * before one that is due earlier: libtorrent asks for them one after another.
 */
void want_table::keep_order()
{
    clock::time_point last = clock::time_point::min();

    std::sort(m_due.begin(), m_due.end());

    for (auto const& [deadline, piece] : m_due)
    {
        auto const it = m_wanted.find(piece);

        /* the storage has it */
        if (it == m_wanted.end())
            continue;

        entry& e = it->second;

        if (e.deadline < last)
        {
            e.deadline = std::max(deadline, last);
            m_dirty.push_back(piece);
        }

        last = e.deadline;
    }
}

void want_table::publishing(std::uint32_t const piece)
{
    std::lock_guard<std::mutex> lock(m_mutex);
    auto const it = m_wanted.find(piece);

    if (it != m_wanted.end())
        it->second.st = state::publishing;
}

bool want_table::published(std::uint32_t const piece, storage const& store)
{
    std::lock_guard<std::mutex> lock(m_mutex);
    auto const it = m_wanted.find(piece);

    if (it == m_wanted.end() || it->second.st != state::publishing)
        return false;

    if (store.complete(piece))
    {
        m_wanted.erase(it);
        m_last_wanted = clock::now();
        return false;
    }

    it->second.st = state::active;
    m_dirty.push_back(piece);
    return changed();
}

bool want_table::park(std::uint32_t const piece)
{
    std::lock_guard<std::mutex> lock(m_mutex);
    auto const it = m_wanted.find(piece);

    if (it == m_wanted.end() || it->second.st != state::active)
        return false;

    it->second.st = state::parked;
    it->second.retry = clock::now() + park_time;
    m_dirty.push_back(piece);
    return true;
}

void want_table::drop(std::uint32_t const piece)
{
    std::lock_guard<std::mutex> lock(m_mutex);
    auto const it = m_wanted.find(piece);

    if (it == m_wanted.end() || it->second.st == state::publishing)
        return;

    m_wanted.erase(it);
    m_dirty.push_back(piece);
}

bool want_table::unpark(clock::time_point const now)
{
    bool any = false;
    std::lock_guard<std::mutex> lock(m_mutex);

    for (auto& [piece, e] : m_wanted)
    {
        if (e.st != state::parked || e.retry > now)
            continue;

        e.st = state::active;
        m_dirty.push_back(piece);
        any = true;
    }

    return any;
}

want_table::wish want_table::make_wish(std::uint32_t const piece) const
{
    auto const it = m_wanted.find(piece);

    if (it == m_wanted.end() || it->second.st != state::active)
        return wish{piece, 0, clock::time_point()};

    return wish{piece, it->second.priority, it->second.deadline};
}

want_table::wish want_table::get(std::uint32_t const piece) const
{
    std::lock_guard<std::mutex> lock(m_mutex);

    return make_wish(piece);
}

std::vector<want_table::wish> want_table::take(bool& restart)
{
    std::vector<wish> out;
    std::lock_guard<std::mutex> lock(m_mutex);

    restart = m_restart;
    m_posted = false;
    m_restart = false;

    if (restart)
    {
        /* all deadlines are about to be cleared: name every piece again */
        m_dirty.clear();

        for (auto const& w : m_wanted)
            m_dirty.push_back(w.first);
    }

    out.reserve(m_dirty.size());

    for (std::uint32_t const piece : m_dirty)
        out.push_back(make_wish(piece));

    m_dirty.clear();
    return out;
}

bool want_table::any() const
{
    std::lock_guard<std::mutex> lock(m_mutex);

    return !m_wanted.empty();
}

clock::time_point want_table::last_wanted() const
{
    std::lock_guard<std::mutex> lock(m_mutex);

    return m_wanted.empty() ? m_last_wanted : clock::now();
}

void want_table::close()
{
    std::lock_guard<std::mutex> lock(m_mutex);

    m_closed = true;

    for (auto const& w : m_wanted)
        m_dirty.push_back(w.first);

    m_wanted.clear();
}

} // namespace shim
