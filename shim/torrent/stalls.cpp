/*
 * Pieces that readers wait for and nobody brings.
 *
 * libtorrent has two ways out when a peer sits on blocks: a piece with a
 * deadline is asked of a second peer after the time that pieces usually take,
 * and a peer that is late is "snubbed" and gives back one block per second.
 * The first never happens here: it is counted in finished pieces, and as
 * libtorrent sees it none ever is.  The second begins after seconds, at the
 * end of the queue, and not for a peer on parole.
 *
 * Parole makes it worse.  After a bad piece each peer that took part in it may
 * only ask for pieces that no other has blocks of.  If what is left are pieces
 * that the bad peer has begun, the good one stands idle, for as long as the
 * other likes to be silent.
 *
 * So once a second: is there a piece whose time has come, which no peer that
 * gives us anything was asked for, and is there one that could be asked?  Then
 * peers that sit on its blocks are disconnected (libtorrent dials them again
 * after a pause), those that could give it are let off, and libtorrent is made
 * to pick anew.
 *
 * A block that was not asked for is no sign of life: there are peers that
 * answer with other blocks than those that they were asked for.
 */

#include <algorithm>

#include <libtorrent/error_code.hpp>
#include <libtorrent/operations.hpp>
#include <libtorrent/peer_info.hpp>

#include "shim/torrent/peer.hpp"

namespace shim
{

namespace
{

using std::chrono::seconds;

/* How long a peer may owe blocks and bring none of them. */
constexpr seconds patience(2);
constexpr seconds patience_within_block(8);

/* What is due then, libtorrent requests by its deadline. */
constexpr seconds horizon(1);

/* How long after its deadline a piece is looked after. */
constexpr seconds overdue(1);

std::uint64_t block_key(lt::peer_request const& r)
{
    return std::uint64_t(std::uint32_t(static_cast<int>(r.piece))) << 32
        | std::uint32_t(r.start);
}

} // namespace

void peer::sent_request(lt::peer_request const& r)
{
    if (m_owed.empty())
        m_last_block = clock::now();

    m_owed.insert(block_key(r));
}

void peer::sent_cancel(lt::peer_request const& r)
{
    m_owed.erase(block_key(r));
}

void peer::note_block(lt::peer_request const& r)
{
    if (m_owed.erase(block_key(r)) != 0)
        m_last_block = clock::now();
}

bool peer::on_reject(lt::peer_request const& r)
{
    m_owed.erase(block_key(r));
    return false;
}

bool peer::on_choke()
{
    /* with BEP 6 each request is rejected by itself, or answered */
    if (!m_fast)
        m_owed.clear();

    return false;
}

bool peer::owes(std::uint32_t const piece) const
{
    std::uint64_t const first = std::uint64_t(piece) << 32;
    auto const it = m_owed.lower_bound(first);

    return it != m_owed.end() && *it >> 32 == piece;
}

bool peer::silent(clock::time_point const now) const
{
    lt::peer_info info;

    if (m_gone || m_owed.empty() || now - m_last_block < patience)
        return false;

    /* a block takes its time on a slow line */
    m_pc.get_peer_info(info);

    return info.downloading_progress == 0
        || now - m_last_block > patience_within_block;
}

bool peer::could_give(std::uint32_t const piece) const
{
    return useful() && m_pc.type() == lt::connection_type::bittorrent
        && m_pc.has_piece(lt::piece_index_t(static_cast<int>(piece)));
}

void peer::drop_silent()
{
    if (m_gone || m_pc.is_disconnecting()
        || m_pc.type() != lt::connection_type::bittorrent)
    {
        return;
    }

    m_torrent->ctx->events.log(m_torrent->id,
        SHIM_LOG_INFO,
        "peer dropped: it gave nothing while a reader waits for it");
    m_pc.disconnect(lt::errors::timed_out,
        lt::operation_t::bittorrent,
        lt::peer_connection_interface::failure);
}

/* True if somebody else should be asked for the piece, and can be. */
bool torrent::is_stuck(std::uint32_t const piece,
    std::vector<std::shared_ptr<peer>> const& all,
    clock::time_point const now) const
{
    bool owed = false;
    bool able = false;
    bool idle = false;

    for (auto const& p : all)
    {
        bool const silent = p->silent(now);

        if (p->owes(piece))
        {
            if (!silent)
                return false;

            owed = true;
        }
        else if (!silent && p->could_give(piece))
        {
            able = true;
            idle = idle || p->idle();
        }
    }

    return owed ? able : idle;
}

void torrent::unstall()
{
    clock::time_point const now = clock::now();
    std::vector<std::uint32_t> stuck;
    std::vector<std::shared_ptr<peer>> all;

    if (!m_checked || m_closed || !handle.is_valid())
        return;

    for (auto const& weak : peers)
    {
        if (auto p = weak.lock())
            all.push_back(std::move(p));
    }

    for (auto const& [piece, t] : m_told)
    {
        if (t.deadline != clock::time_point() && now - t.deadline > overdue
            && is_stuck(piece, all, now))
        {
            stuck.push_back(piece);
        }
    }

    if (stuck.empty())
        return;

    for (auto const& p : all)
    {
        bool const sits = std::any_of(stuck.begin(),
            stuck.end(),
            [&p](std::uint32_t const piece) { return p->owes(piece); });

        if (sits)
            p->drop_silent();
        else if (!p->silent(now))
            p->pardon();
    }

    for (std::uint32_t const piece : stuck)
        pick_anew(piece);
}

/*
 * What libtorrent picked for want of something more urgent waits in a queue of
 * what it will request of a peer.  Whatever it picks by deadline, from now on,
 * gets before that, though it may be due later.  Only a deadline that is new
 * brings what is in the queue forward.
 */
void torrent::promote()
{
    clock::time_point const now = clock::now();
    std::vector<std::pair<clock::time_point, std::uint32_t>> due;

    if (!m_checked || m_closed || !handle.is_valid())
        return;

    for (auto const& [piece, t] : m_told)
    {
        if (t.deadline != clock::time_point() && t.deadline < now + horizon)
            due.emplace_back(t.deadline, piece);
    }

    /* a deadline set on an empty list would cancel all other requests */
    if (due.size() < 2)
        return;

    std::sort(due.begin(), due.end());

    for (auto const& [deadline, piece] : due)
    {
        lt::piece_index_t const index(static_cast<int>(piece));
        auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - now);

        handle.reset_piece_deadline(index);
        handle.set_piece_deadline(
            index, int(std::max<std::int64_t>(ms.count(), 0)));
    }
}

/* A change from 0 is what makes libtorrent request at once. */
void torrent::pick_anew(std::uint32_t const piece)
{
    std::vector<std::pair<lt::piece_index_t, lt::download_priority_t>> batch;
    want_table::wish const w = wants.get(piece);

    if (w.priority == 0 || !handle.is_valid())
        return;

    apply({piece, 0, clock::time_point()}, batch);

    if (!batch.empty())
        handle.prioritize_pieces(batch);

    batch.clear();
    apply(w, batch);

    if (!batch.empty())
        handle.prioritize_pieces(batch);
}

} // namespace shim
