/*
 * libtorrent's disk back end: blocks are put together in memory, on the
 * network thread, and their handlers held until a hash thread has verified the
 * piece and written it to the caller's storage (held.hpp).
 *
 *      first block       async_write   storage.begin(), buffer made
 *      block arrives     async_write   copied, handler held
 *      last block        async_hash    piece leaves with a hash job
 *      hash thread       good:  storage.write(), buffer freed
 *                               wants: publishing
 *                               post: unwant, abort hash and writes
 *                               storage.mark(complete), wants: published
 *                               event, post: HAVE
 *                        bad:   storage.mark(empty)
 *                               post: writes succeeded, hash as it is
 *                               libtorrent blames who sent it
 *                        else:  storage.mark(empty)
 *                               post: abort hash and writes
 *
 * Rules:
 *  1. Every handler is called exactly once, from a handler of its own on the
 *     network thread, never from within libtorrent's call.
 *  2. Handlers are moved, never copied: a hash handler owns the memory that
 *     the v2 block hashes are written to.
 *  3. libtorrent is never told an error of the storage, it would pause the
 *     torrent: the job is aborted, the piece is left alone for a second, and
 *     the caller gets an event.
 *  4. A hash job judges one generation.  What is to be aborted counts as
 *     received for libtorrent until that has run; a piece with such blocks is
 *     not hashed but aborted as a whole.  The hash is aborted before the last
 *     of its blocks: else libtorrent keeps an empty piece in its list of
 *     downloads, and never asks for it again.
 */

#ifndef CONFLUENCE_SHIM_DISK_HPP
#define CONFLUENCE_SHIM_DISK_HPP

#include <memory>

#include <libtorrent/session_params.hpp>

#include "shim/base/context.hpp"

namespace shim
{

lt::disk_io_constructor_type make_disk(std::shared_ptr<context> ctx);

} // namespace shim

#endif
