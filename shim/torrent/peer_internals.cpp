/*
 * What is said to libtorrent about single peers past its documented interface:
 * through members of peer_connection that its installed headers define inline.
 * Without any of it (libtorrent 2.1 hides them) everything works, later.
 *
 * Order.  libtorrent picks rarest first among pieces of the same priority, and
 * looks at deadlines once a second only.  But it honours the pieces that a peer
 * has suggested (BEP 6) before anything else and in their order, so each peer
 * is made to suggest what we want, most urgent first.  Each begins with another
 * piece, or the first peer would be asked for as many pieces as its queue
 * holds, in a row, while the others fetch what is needed much later.
 *
 * Bursts.  After a pause libtorrent has forgotten a peer's rate and asks for
 * two blocks per round trip.  prefer_contiguous_blocks is the least that it
 * asks for at a time.
 *
 * Acknowledgements.  libtorrent as a sender does not set TCP_NODELAY: the
 * second part of a short answer waits for our acknowledgement of the first,
 * which the kernel delays by 40 ms.  TCP_QUICKACK sends what is delayed, but
 * is no lasting state; so for a moment after somebody began to wait, it is set
 * again and again (pulse).  Later the answers are many and never short.  Our
 * own side has TCP_NODELAY.
 */

#include <algorithm>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <libtorrent/version.hpp>

#if LIBTORRENT_VERSION_NUM < 20100
#include <libtorrent/aux_/socket_type.hpp>
#include <libtorrent/peer_connection.hpp>
#include <libtorrent/torrent_peer.hpp>
#endif

#include "shim/torrent/peer.hpp"

namespace shim
{

namespace
{

/* Of its usual rate, what a peer is asked for at once: a quarter second. */
constexpr int burst_per_second = 4;
constexpr int max_burst = 64; /* blocks */
constexpr std::chrono::milliseconds pulse_time(80);
constexpr std::size_t pulse_peers = 8; /* the fastest */

} // namespace

bool peer::useful() const
{
    return !m_gone && !m_pc.is_disconnecting() && !m_pc.in_handshake()
        && !m_pc.has_peer_choked();
}

#if LIBTORRENT_VERSION_NUM < 20100

void peer::note_rate()
{
    std::shared_ptr<lt::peer_connection> const pc = m_pc.native_handle();

    if (!pc || m_gone)
        return;

    m_rate = std::max(
        pc->statistics().download_payload_rate(), m_rate - m_rate / 32);
}

void peer::hint(std::vector<lt::piece_index_t> const& order, int const share)
{
    std::shared_ptr<lt::peer_connection> const pc = m_pc.native_handle();

    if (!pc || m_gone || pc->type() != lt::connection_type::bittorrent)
        return;

    const_cast<std::vector<lt::piece_index_t>&>(pc->suggested_pieces()) = order;

    int const burst = m_rate / burst_per_second / int(block_size);

    pc->prefer_contiguous_blocks(std::min({burst, share, max_burst}));

    quick_ack();
}

bool peer::over_tcp() const
{
    std::shared_ptr<lt::peer_connection> const pc = m_pc.native_handle();

    return pc && boost::get<lt::tcp::socket>(&pc->get_socket()) != nullptr;
}

/* What we say is short too, and must not wait for an acknowledgement. */
void peer::no_delay()
{
    std::shared_ptr<lt::peer_connection> const pc = m_pc.native_handle();
    auto* const tcp =
        pc ? boost::get<lt::tcp::socket>(&pc->get_socket()) : nullptr;
    int const on = 1;

    if (tcp == nullptr || !tcp->is_open())
        return;

    ::setsockopt(
        tcp->native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void peer::quick_ack()
{
    std::shared_ptr<lt::peer_connection> const pc = m_pc.native_handle();

    if (!pc || m_gone)
        return;

    auto* const tcp = boost::get<lt::tcp::socket>(&pc->get_socket());
    int const on = 1;

    if (tcp == nullptr || !tcp->is_open())
        return;

    /* a hint to the kernel: nothing depends on it */
    ::setsockopt(
        tcp->native_handle(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

/*
 * libtorrent suspects all peers of a bad piece ("parole") and clears those
 * that took part in a good one, or it would ban them sooner or later.  It
 * never sees a good one here, so this is its torrent::piece_passed().
 */
void peer::trust()
{
    std::shared_ptr<lt::peer_connection> const pc = m_pc.native_handle();

    if (!pc || m_gone)
        return;

    lt::torrent_peer* const p = pc->peer_info_struct();

    if (p == nullptr)
        return;

    p->on_parole = false;

    if (p->trust_points < 7)
        p->trust_points = p->trust_points + 1;
}

/*
 * libtorrent takes 2 points off all peers of a bad piece next, and bans those
 * that have -7, or were alone with it.  A bad peer takes part in several pieces
 * before the first is hashed, and so does each good one: they are not banned
 * for the company.  On parole they get pieces of their own, which tell.
 */
void peer::on_piece_failed(lt::piece_index_t)
{
    std::shared_ptr<lt::peer_connection> const pc = m_pc.native_handle();

    if (!pc || m_gone)
        return;

    lt::torrent_peer* const p = pc->peer_info_struct();

    if (p != nullptr && p->trust_points < -4)
        p->trust_points = -4;
}

/* Off parole, but no more trusted than before. */
void peer::pardon()
{
    std::shared_ptr<lt::peer_connection> const pc = m_pc.native_handle();

    if (pc && !m_gone && pc->peer_info_struct() != nullptr)
        pc->peer_info_struct()->on_parole = false;
}

#else

void peer::note_rate() {}

bool peer::over_tcp() const
{
    return true;
}

void peer::hint(std::vector<lt::piece_index_t> const&, int) {}

void peer::no_delay() {}

void peer::quick_ack() {}

void peer::trust() {}

void peer::on_piece_failed(lt::piece_index_t) {}

void peer::pardon() {}

#endif

bool peer::on_unchoke()
{
    /* before libtorrent picks what to request */
    m_torrent->hint_peers();
    return false;
}

/* The order of what is wanted, the most urgent first. */
void torrent::order_wanted()
{
    constexpr std::size_t most = 128;
    std::vector<std::pair<told, std::uint32_t>> all;
    auto const none = clock::time_point();

    all.reserve(m_told.size());

    for (auto const& [piece, t] : m_told)
        all.emplace_back(t, piece);

    std::sort(all.begin(),
        all.end(),
        [none](auto const& a, auto const& b)
        {
            if (a.first.priority != b.first.priority)
                return a.first.priority > b.first.priority;

            if (a.first.deadline != b.first.deadline)
            {
                return b.first.deadline == none
                    || (a.first.deadline != none
                        && a.first.deadline < b.first.deadline);
            }

            return a.second < b.second;
        });

    m_order.clear();

    for (auto const& [t, piece] : all)
    {
        if (m_order.size() == most)
            break;

        m_order.push_back(piece);
    }
}

void torrent::hint_peers()
{
    std::vector<std::shared_ptr<peer>> able;
    std::vector<lt::piece_index_t> first;
    std::vector<lt::piece_index_t> rest;

    for (auto const& weak : peers)
    {
        auto p = weak.lock();

        if (p && p->useful())
            able.push_back(std::move(p));
    }

    if (able.empty())
        return;

    std::stable_sort(able.begin(),
        able.end(),
        [](auto const& a, auto const& b) { return a->rate() > b->rate(); });

    /* what everybody waits for, and what has been begun, is first for all */
    for (std::uint32_t const piece : m_order)
    {
        bool const urgent = first.empty() || held.count(piece) != 0;

        (urgent ? first : rest)
            .push_back(lt::piece_index_t(static_cast<int>(piece)));
    }

    std::size_t const n =
        std::min(able.size(), std::max(rest.size(), std::size_t(1)));
    int const blocks = m_files
        ? (m_files->piece_length() + int(block_size) - 1) / int(block_size)
        : 1;
    int const share = std::max(blocks / int(able.size()), 1);

    for (std::size_t i = 0; i < able.size(); ++i)
    {
        std::vector<lt::piece_index_t> order = first;

        /* of the rest every n-th for this one, then the others */
        for (std::size_t k = i % n; k < rest.size(); k += n)
            order.push_back(rest[k]);

        for (std::size_t k = 0; k < rest.size(); ++k)
        {
            if (k % n != i % n)
                order.push_back(rest[k]);
        }

        able[i]->hint(order, share);
    }

    if (able.size() > pulse_peers)
        able.resize(pulse_peers);

    m_pulsed.assign(able.begin(), able.end());
    m_pulse_end = clock::now() + pulse_time;
    ctx->uploads->pulse(weak_from_this());
}

bool torrent::pulse()
{
    if (m_closed || clock::now() > m_pulse_end || !wants.any())
        return false;

    for (auto const& weak : m_pulsed)
    {
        auto const p = weak.lock();

        if (p && p->useful())
            p->quick_ack();
    }

    return true;
}

} // namespace shim
