/*
 * A piece that is not verified yet: its blocks, put together in memory, and
 * what libtorrent waits for.
 *
 * Memory, not the storage: a piece is hashed without being read back, and
 * reaches the storage by one write.  Pages of the page cache come in the size
 * of the write that makes them, and workers send large ones for less.
 */

#ifndef CONFLUENCE_SHIM_HELD_HPP
#define CONFLUENCE_SHIM_HELD_HPP

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include <libtorrent/disk_interface.hpp>

#include "shim/base/storage.hpp"

namespace shim
{

namespace lt = libtorrent;

class peer;

using write_handler = std::function<void(lt::storage_error const&)>;
using hash_handler = std::function<void(
    lt::piece_index_t, lt::sha1_hash const&, lt::storage_error const&)>;
using sender_set =
    std::set<std::weak_ptr<peer>, std::owner_less<std::weak_ptr<peer>>>;

/*
 * Bytes that all torrents may hold together.  Beyond it blocks that nobody
 * wants any more are given up, then pieces wait; each torrent may always have
 * one, so that it goes on.
 */
constexpr std::size_t held_max = 256 << 20;

/* How long a piece that nobody wants any more is held. */
constexpr std::chrono::seconds held_linger(30);

/* Counted in a total while it lives, which must live longer.  Any thread. */
class piece_buffer
{
public:
    /* zeros: blocks of padding, which nobody sends, read as zeros */
    piece_buffer(
        std::atomic<std::size_t>& total, std::uint32_t size, bool zeros);
    ~piece_buffer();
    piece_buffer(piece_buffer const&) = delete;
    piece_buffer& operator=(piece_buffer const&) = delete;

    char* data() { return m_data.get(); }
    std::uint32_t size() const { return m_size; }

private:
    std::atomic<std::size_t>& m_total;
    std::uint32_t const m_size;
    std::unique_ptr<char[]> m_data;
};

struct held_piece
{
    std::shared_ptr<storage> store;
    std::uint32_t generation = 0;
    std::unique_ptr<piece_buffer> bytes;
    std::vector<write_handler> writes;
    sender_set senders;
    std::chrono::steady_clock::time_point last_block;
};

} // namespace shim

#endif
