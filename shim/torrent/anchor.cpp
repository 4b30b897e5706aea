/*
 * The anchor: the piece that keeps a torrent which wants nothing from being
 * finished; see torrent.hpp.
 */

#include "shim/torrent/torrent.hpp"

namespace shim
{

namespace
{

lt::piece_index_t index(std::uint32_t const piece)
{
    return lt::piece_index_t(static_cast<int>(piece));
}

} // namespace

bool torrent::anchor_write(std::uint32_t const piece, write_handler& handler)
{
    if (!m_anchor_filling || piece != m_anchor)
        return false;

    m_anchor_writes.push_back(std::move(handler));
    return true;
}

bool torrent::anchor_hash(std::uint32_t const piece, hash_handler& handler)
{
    if (!m_anchor_filling || piece != m_anchor)
        return false;

    m_anchor_hash = std::move(handler);
    return true;
}

bool torrent::anchor_fits(std::uint32_t const piece) const
{
    return held.count(piece) == 0 && aborting.count(piece) == 0
        && m_told.count(piece) == 0 && wants.get(piece).priority == 0;
}

/*
 * Somewhere in the second half: players read the beginning and the end, so
 * this is the piece that is least likely to be wanted soon.
 */
void torrent::place_anchor()
{
    constexpr int tries = 64;
    std::uint32_t const start = std::uint32_t(std::uint64_t(m_piece_n) * 5 / 8);

    for (std::uint32_t i = 0; i < m_piece_n && i < tries; ++i)
    {
        std::uint32_t const piece = (start + i) % m_piece_n;

        if (anchor_fits(piece) && place_anchor_at(piece))
            return;
    }
}

bool torrent::place_anchor_at(std::uint32_t const piece)
{
    std::vector<char> const zeros(
        std::size_t(m_files->piece_size(index(piece))));

    m_anchor = piece;
    m_anchor_filling = true;
    handle.piece_priority(index(piece), lt::low_priority);

    /*
     * Runs at once, on this thread, down to our async_write() and
     * async_hash(); overwrite is not set, so that a block which is on its way
     * from a peer is left alone.
     */
    handle.add_piece(index(piece), zeros.data());
    m_anchor_filling = false;

    if (m_anchor_hash)
    {
        m_anchor_held = true;
        return true;
    }

    handle.piece_priority(index(piece), lt::dont_download);

    if (!m_anchor_writes.empty())
    {
        /* some blocks were not free: give the others back */
        for (write_handler const& w : m_anchor_writes)
            w(aborted());

        m_anchor_writes.clear();
    }

    return false;
}

/*
 * The blocks are called written and the piece bad; since it came from no peer
 * nobody is blamed, and libtorrent forgets it.  Not an abort, as for pieces
 * from peers: add_piece() leaves blocks of aborted writes in limbo.
 */
void torrent::release_anchor()
{
    std::uint32_t const piece = m_anchor;
    std::vector<write_handler> const writes = std::move(m_anchor_writes);
    hash_handler const hash = std::move(m_anchor_hash);
    lt::sha1_hash never = lt::sha1_hash::max();

    m_anchor_writes.clear();
    m_anchor_hash = nullptr;
    m_anchor_held = false;
    m_anchor_settling = true;

    for (write_handler const& w : writes)
        w(lt::storage_error());

    hash(index(piece), never, lt::storage_error());

    /*
     * Behind the completion of async_clear_piece(), posted just now by this
     * thread, in which libtorrent makes the blocks free.
     */
    boost::asio::post(*ctx->ioc,
        [self = shared_from_this(), piece]
        {
            std::vector<std::pair<lt::piece_index_t, lt::download_priority_t>>
                batch;

            self->m_anchor_settling = false;

            if (self->m_closed || !self->handle.is_valid())
                return;

            self->handle.piece_priority(index(piece), lt::dont_download);

            self->apply(self->wants.get(piece), batch);

            if (!batch.empty())
                self->handle.prioritize_pieces(batch);

            self->order_wanted();
            self->hint_peers();
        });
}

} // namespace shim
