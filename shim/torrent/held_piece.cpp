#include "shim/torrent/held_piece.hpp"

#include <cerrno>
#include <cstring>

#include <boost/asio/post.hpp>

#include "shim/torrent/torrent.hpp"

namespace shim
{

piece_buffer::piece_buffer(
    std::atomic<std::size_t>& total, std::uint32_t const size, bool const zeros)
    : m_total(total)
    , m_size(size)
    , m_data(zeros ? new char[size]() : new char[size])
{
    m_total += size;
}

piece_buffer::~piece_buffer()
{
    m_total -= m_size;
}

/* Makes room for a piece of that size, if that takes it. */
bool torrent::make_room(std::uint32_t const size)
{
    if (ctx->held_bytes + size <= held_max)
        return true;

    for (auto const& [native, weak] : ctx->torrents)
    {
        if (auto const t = weak.lock())
            t->abort_unwanted(clock::now());
    }

    return ctx->held_bytes + size <= held_max || held.empty();
}

int torrent::begin_piece(std::uint32_t const piece)
{
    std::shared_ptr<storage> const s = store();
    std::shared_ptr<layout const> const l = info();
    std::uint32_t generation = 0;

    if (!s || !l || piece >= l->piece_n)
        return EAGAIN;

    std::uint32_t const size = l->hashes->piece_size(piece);

    if (!make_room(size))
        return EAGAIN;

    int const rc = s->begin(piece, &generation);

    if (rc != 0)
        return rc;

    held_piece& h = held[piece];

    h.store = s;
    h.generation = generation;
    h.bytes = std::make_unique<piece_buffer>(ctx->held_bytes, size, l->padded);
    return 0;
}

int torrent::take_block(std::uint32_t const piece,
    std::uint32_t const offset,
    char const* const buf,
    std::uint32_t const len,
    write_handler& handler)
{
    if (held.count(piece) == 0)
    {
        int const rc = begin_piece(piece);

        if (rc != 0)
            return rc;
    }

    held_piece& h = held[piece];

    if (offset > h.bytes->size() || len > h.bytes->size() - offset)
        return EINVAL;

    std::memcpy(h.bytes->data() + offset, buf, len);
    h.writes.push_back(std::move(handler));
    h.senders.insert(sender);
    h.last_block = clock::now();
    return 0;
}

void torrent::abort_held(std::uint32_t const piece)
{
    auto const it = held.find(piece);

    if (it == held.end())
        return;

    held_piece& h = it->second;
    std::vector<write_handler>& list = aborting[piece];

    if (h.store->mark(piece, h.generation, SHIM_PIECE_EMPTY) == 0)
        ctx->events.piece(SHIM_EVENT_PIECE_DROPPED, id, piece);

    for (write_handler& w : h.writes)
        list.push_back(std::move(w));

    held.erase(it);

    boost::asio::post(*ctx->ioc,
        [self = shared_from_this(), piece]
        {
            hash_handler none;
            std::vector<write_handler> writes;
            auto const node = self->aborting.extract(piece);

            if (node)
                writes = std::move(node.mapped());

            self->answer_aborted(piece, none, writes, false);
        });
}

void torrent::abort_unwanted(clock::time_point const before)
{
    std::vector<std::uint32_t> unwanted;

    for (auto const& [piece, h] : held)
    {
        if (h.last_block <= before && wants.get(piece).priority == 0)
            unwanted.push_back(piece);
    }

    for (std::uint32_t const piece : unwanted)
        abort_held(piece);
}

void torrent::abort_evicted(std::uint32_t const first, std::uint32_t const n)
{
    std::vector<std::uint32_t> evicted;

    for (auto const& [piece, h] : held)
    {
        if (piece < first || piece - first >= n)
            continue;

        /* a newer generation may have been begun already */
        if (!h.store->current(piece, h.generation))
            evicted.push_back(piece);
    }

    for (std::uint32_t const piece : evicted)
        abort_held(piece);
}

void torrent::finish_aborts(std::uint32_t const piece)
{
    auto const node = aborting.extract(piece);

    if (!node)
        return;

    for (write_handler& w : node.mapped())
        w(aborted());
}

} // namespace shim
