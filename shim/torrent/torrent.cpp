#include "shim/torrent/torrent.hpp"

#include <boost/asio/error.hpp>

#include <libtorrent/peer_info.hpp>

#include "shim/torrent/peer.hpp"

namespace shim
{

namespace
{

using std::chrono::seconds;

/* How long uploads go on after the last want, and the anchor is kept. */
constexpr seconds upload_linger(10);
constexpr seconds anchor_linger(60);

/* Attempts are a second apart. */
constexpr int utp_attempts = 8;
constexpr std::size_t max_utp_tries = 200;

lt::piece_index_t index(std::uint32_t const piece)
{
    return lt::piece_index_t(static_cast<int>(piece));
}

} // namespace

lt::storage_error aborted()
{
    return lt::storage_error(
        lt::error_code(boost::asio::error::operation_aborted));
}

torrent::torrent(std::shared_ptr<context> c, shim_id_t const i)
    : id(i)
    , ctx(std::move(c))
{
}

std::shared_ptr<storage> torrent::store() const
{
    std::lock_guard<std::mutex> lock(m_mutex);

    return m_store;
}

std::shared_ptr<layout const> torrent::info() const
{
    std::lock_guard<std::mutex> lock(m_mutex);

    return m_info;
}

void torrent::attach(std::shared_ptr<storage> store)
{
    std::lock_guard<std::mutex> lock(m_mutex);

    m_store.swap(store);
}

void torrent::set_info(std::shared_ptr<layout const> info)
{
    std::lock_guard<std::mutex> lock(m_mutex);

    m_info = std::move(info);
}

void torrent::close()
{
    m_closed = true;
    wants.close();
    attach(nullptr);
}

bool torrent::uploading() const
{
    if (m_closed)
        return false;

    return ctx->seed || clock::now() - wants.last_wanted() < upload_linger;
}

void torrent::poke()
{
    boost::asio::post(
        *ctx->ioc, [self = shared_from_this()] { self->reconcile(); });
}

/*
 * The torrent is ready to download; libtorrent is about to request.  Until now
 * all priorities were the default, so that it never thought it had finished,
 * which would make it lose interest in peers that have just unchoked us.
 *
 * A torrent added with its metadata has waited for this, paused, so that what
 * it tells its trackers first is "started".
 */
void torrent::files_checked()
{
    if (m_closed || m_checked || !handle.is_valid())
        return;

    m_files = handle.torrent_file();

    if (!m_files)
        return;

    m_piece_n = std::uint32_t(m_files->num_pieces());
    place_anchor();
    m_checked = true;

    std::vector<lt::download_priority_t> none(m_piece_n, lt::dont_download);

    if (m_anchor_held)
        none[m_anchor] = lt::low_priority;

    handle.prioritize_pieces(none);

    boost::asio::post(*ctx->ioc,
        [self = shared_from_this()]
        {
            if (self->m_closed || !self->handle.is_valid())
                return;

            self->reconcile();
            self->handle.resume();
        });
}

void torrent::clear_deadlines(std::vector<want_table::wish>& wishes)
{
    std::unordered_map<std::uint32_t, bool> named;

    /*
     * Only a deadline set on an empty list makes libtorrent cancel what it has
     * requested of other pieces; to clear the list leaves priority 1 behind.
     */
    handle.clear_piece_deadlines();

    for (want_table::wish const& w : wishes)
        named[w.piece] = true;

    for (auto& [piece, t] : m_told)
    {
        if (t.deadline != clock::time_point())
        {
            t.deadline = clock::time_point();
            t.priority = 1;
        }

        if (named.count(piece) == 0)
            wishes.push_back({piece, 0, clock::time_point()});
    }
}

void torrent::apply(want_table::wish const& w,
    std::vector<std::pair<lt::piece_index_t, lt::download_priority_t>>& batch)
{
    auto const it = m_told.find(w.piece);
    bool const known = it != m_told.end();
    bool const had_deadline =
        known && it->second.deadline != clock::time_point();

    if (w.priority == 0 && !known)
        return;

    if (w.priority != 0 && known && it->second.priority == w.priority
        && it->second.deadline == w.deadline)
    {
        return;
    }

    if (w.priority != 0 && w.deadline != clock::time_point())
    {
        auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(
            w.deadline - clock::now());

        /* raises the priority to 7 and, if it was 0, requests at once */
        handle.set_piece_deadline(
            index(w.piece), int(std::max<std::int64_t>(ms.count(), 0)));

        if (w.priority != 7)
            batch.emplace_back(
                index(w.piece), lt::download_priority_t(w.priority));
    }
    else
    {
        /*
         * The deadline first: to set priority 0 with a deadline on leaves the
         * piece with priority 1.
         */
        if (had_deadline)
            handle.reset_piece_deadline(index(w.piece));

        batch.emplace_back(index(w.piece), lt::download_priority_t(w.priority));
    }

    if (w.priority == 0)
        m_told.erase(it);
    else
        m_told[w.piece] = {w.deadline, w.priority};
}

/*
 * The last reader has left: what was requested for it is taken back.  libtorrent
 * does that for a deadline on an empty list only; the anchor's asks for nothing,
 * all its blocks are there, and leaves it with the priority that it has.
 */
void torrent::cancel_requests()
{
    if (!m_anchor_held)
        return;

    handle.clear_piece_deadlines();
    handle.set_piece_deadline(index(m_anchor), 0);
    handle.reset_piece_deadline(index(m_anchor));
}

/* Makes libtorrent's priorities and deadlines what the table of wants says. */
void torrent::reconcile()
{
    bool restart;
    bool move = false;
    std::vector<std::pair<lt::piece_index_t, lt::download_priority_t>> batch;

    if (!m_checked || m_closed || !handle.is_valid())
        return;

    std::vector<want_table::wish> wishes = wants.take(restart);
    bool const had_wants = !m_told.empty();

    if (restart)
        clear_deadlines(wishes);

    if (wants.any())
        m_anchor_dropped = false;

    for (want_table::wish const& w : wishes)
    {
        if (w.priority != 0 && w.piece == m_anchor
            && (m_anchor_held || m_anchor_settling))
        {
            move = true;
        }
    }

    if (move && m_anchor_held)
        release_anchor();

    if (!m_anchor_held && !m_anchor_settling && !m_anchor_dropped)
        place_anchor();

    for (want_table::wish const& w : wishes)
    {
        /* told when libtorrent has taken it back: release_anchor() */
        if (m_anchor_settling && w.piece == m_anchor)
            continue;

        apply(w, batch);
    }

    if (!batch.empty())
        handle.prioritize_pieces(batch);

    if (had_wants && m_told.empty())
        cancel_requests();

    if (!wishes.empty())
    {
        /* libtorrent picks when this has returned */
        order_wanted();
        hint_peers();
    }
}

void torrent::tick()
{
    if (wants.unpark(clock::now()))
        reconcile();

    unstall();
    promote();

    abort_unwanted(clock::now() - held_linger);

    if (m_anchor_held && !wants.any()
        && clock::now() - wants.last_wanted() > anchor_linger)
    {
        m_anchor_dropped = true;
        release_anchor();
    }
}

void torrent::answer_aborted(std::uint32_t const piece,
    hash_handler& hash,
    std::vector<write_handler>& writes,
    bool const unwant)
{
    lt::storage_error const error = aborted();
    std::vector<std::pair<lt::piece_index_t, lt::download_priority_t>> batch;

    /* before the blocks are free again, or they would be requested again */
    if (unwant && handle.is_valid())
    {
        apply({piece, 0, clock::time_point()}, batch);

        if (!batch.empty())
            handle.prioritize_pieces(batch);
    }

    /*
     * The hash first.  Were the blocks alone aborted, a piece of one block
     * would pass.
     */
    if (hash)
        hash(index(piece), lt::sha1_hash(), error);

    for (write_handler& w : writes)
        w(error);

    if (m_closed || !handle.is_valid() || !m_checked)
        return;

    /* evicted and wanted again in the meantime */
    want_table::wish const w = wants.get(piece);

    if (w.priority != 0)
    {
        batch.clear();

        if (!unwant)
        {
            /* a change from 0 is what makes libtorrent request at once */
            apply({piece, 0, clock::time_point()}, batch);
            handle.prioritize_pieces(batch);
            batch.clear();
        }

        apply(w, batch);

        if (!batch.empty())
            handle.prioritize_pieces(batch);
    }
}

void torrent::abort_all_held()
{
    lt::storage_error const error = aborted();

    while (!held.empty())
        abort_held(held.begin()->first);

    if (m_anchor_writes.empty() && !m_anchor_hash)
        return;

    m_anchor_held = false;

    boost::asio::post(*ctx->ioc,
        [self = shared_from_this(),
            error,
            piece = m_anchor,
            hash = std::move(m_anchor_hash),
            writes = std::move(m_anchor_writes)]
        {
            if (hash)
                hash(index(piece), lt::sha1_hash(), error);

            for (write_handler const& w : writes)
                w(error);
        });

    m_anchor_hash = nullptr;
    m_anchor_writes.clear();
}

/*
 * libtorrent connects to a peer that it was told of by a tracker at once, to
 * one that it was told of by us on a timer of one second.  To resume a torrent
 * makes it look at its peers at once too; the pause before is swallowed by
 * our plugin, so that nothing else happens.
 */
void torrent::kick()
{
    if (pause_is_kick || !handle.is_valid())
        return;

    if (handle.flags() & lt::torrent_flags::paused)
        return;

    pause_is_kick = true;
    handle.pause();
    handle.resume();
    pause_is_kick = false;
}

void torrent::dial(lt::tcp::endpoint const& ep)
{
    if (m_closed || !handle.is_valid())
        return;

    /* libtorrent says no, too, but asks it first whether it speaks DHT */
    if (ctx->blocks(ep.address()))
    {
        ctx->events.log(id,
            SHIM_LOG_INFO,
            "peer " + ep.address().to_string() + " is blocked");
        return;
    }

    /* no flags: plaintext first, most peers take it */
    handle.connect_peer(ep, {}, {});
    kick();
}

void torrent::unreached(lt::tcp::endpoint const& ep)
{
    if (ctx->utp_after_tcp && !m_closed && m_utp_tried.size() < max_utp_tries
        && m_utp_tried.insert(ep).second)
    {
        m_unreached[ep] = utp_attempts;
    }
}

void torrent::dialled_by_utp(lt::tcp::endpoint const& ep)
{
    m_unreached.erase(ep);
}

void torrent::name_unreached()
{
    for (auto it = m_unreached.begin(); it != m_unreached.end();)
    {
        /* as though a tracker had named it again: that clears a failure */
        if (!m_closed && handle.is_valid())
            handle.connect_peer(it->first, lt::peer_info::tracker, {});

        if (--it->second == 0)
            it = m_unreached.erase(it);
        else
            ++it;
    }
}

void torrent::announce_have(std::uint32_t const piece)
{
    for (auto const& weak : peers)
    {
        if (auto const p = weak.lock())
            p->announce(piece);
    }
}

void torrent::announce_all()
{
    for (auto const& weak : peers)
    {
        if (auto const p = weak.lock())
            p->announce_some();
    }
}

void torrent::forget(std::uint32_t const first, std::uint32_t const n)
{
    abort_evicted(first, n);

    for (auto const& weak : peers)
    {
        if (auto const p = weak.lock())
            p->withdraw(first, n);
    }
}

void torrent::credit(sender_set const& senders)
{
    if (!suspicious)
        return;

    for (auto const& weak : senders)
    {
        if (auto const p = weak.lock())
            p->trust();
    }
}

} // namespace shim
