/*
 * Which pieces are wanted, as the caller says it, and what libtorrent has to
 * be told about it.
 *
 * Three threads meet here: the owner (replaces the list), the hash threads (a
 * verified piece leaves it) and the network thread (tells libtorrent).  Orders
 * to libtorrent would have to be given in the order in which they were meant,
 * or a late "priority 0" undoes a newer want.  So there are none: the table
 * below is the truth, guarded by a mutex, and what is posted to the network
 * thread says only "look again".  Whenever that runs it makes libtorrent's
 * state equal to the table, so the order of posts does not matter.
 *
 *      active ---- verified ----> publishing ---- published ----> (gone)
 *        ^  |                         |
 *        |  +-- storage refused --> parked       evicted in between:
 *        |                            |          back to active
 *        +------- after a second -----+
 */

#ifndef CONFLUENCE_SHIM_WANTS_HPP
#define CONFLUENCE_SHIM_WANTS_HPP

#include <chrono>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "shim/base/storage.hpp"

namespace shim
{

using clock = std::chrono::steady_clock;

class want_table
{
public:
    enum class state : std::uint8_t
    {
        active,
        publishing,
        parked
    };

    struct entry
    {
        clock::time_point deadline; /* time_point() if there is none */
        clock::time_point retry;    /* of a parked piece */
        std::uint32_t round;
        std::uint8_t priority;
        state st;
    };

    /* What libtorrent should be told of one piece. */
    struct wish
    {
        std::uint32_t piece;
        std::uint8_t priority; /* 0: not wanted */
        clock::time_point deadline;
    };

    /*
     * Replaces the list; pieces that the storage has are left out.  Returns
     * true if the network thread has to look.  Owner thread.
     */
    bool replace(shim_want_t const* want,
        std::uint32_t n,
        std::uint32_t piece_n,
        bool restart,
        storage const* store);

    /* A good piece is about to be published.  Hash thread. */
    void publishing(std::uint32_t piece);

    /*
     * publish() has returned.  Returns true if the piece is wanted again since
     * it was evicted at once.  Hash thread.
     */
    bool published(std::uint32_t piece, storage const& store);

    /*
     * The storage had no use for a block.  Returns true if the piece was
     * wanted until now.  Network thread.
     */
    bool park(std::uint32_t piece);

    /* The storage has the piece already.  Network thread. */
    void drop(std::uint32_t piece);

    /* Wakes what was parked long enough; true if there was any. */
    bool unpark(clock::time_point now);

    /*
     * Takes what changed since the last call; all is true if every piece has
     * to be told anew.  Network thread.
     */
    std::vector<wish> take(bool& restart);

    /* The present wish for one piece.  Any thread. */
    wish get(std::uint32_t piece) const;

    /* Nonzero if something is wanted; not counting what is parked. */
    bool any() const;

    /* When there was something wanted for the last time. */
    clock::time_point last_wanted() const;

    /* Wants nothing from now on. */
    void close();

private:
    wish make_wish(std::uint32_t piece) const;
    bool changed();
    void keep_order();

    mutable std::mutex m_mutex;
    std::unordered_map<std::uint32_t, entry> m_wanted;
    std::vector<std::uint32_t> m_dirty;
    std::vector<std::pair<clock::time_point, std::uint32_t>> m_due;
    clock::time_point m_last_wanted = clock::now();
    std::uint32_t m_round = 0;
    bool m_restart = false;
    bool m_posted = false;
    bool m_closed = false;
};

} // namespace shim

#endif
