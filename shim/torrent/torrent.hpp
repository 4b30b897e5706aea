/*
 * One torrent: where the owner thread, the hash threads and libtorrent's
 * network thread meet.
 *
 * libtorrent never owns a piece.  It has no way to forget one, but a cache
 * evicts; so it is never told that it has any.  The disk back end (disk.hpp)
 * verifies each piece and answers its jobs as aborted; the picker then has the
 * piece as never downloaded, with no penalty for anybody and nothing to
 * announce, and priority 0 keeps it from being fetched again.  What
 * libtorrent does for pieces it owns - HAVE, uploads, trust in peers that sent
 * good data - is done by the plugin (peers.hpp).
 *
 * The anchor.  With all priorities 0 libtorrent thinks it has finished: it
 * tells trackers "paused" instead of "started", loses interest in its peers,
 * is choked by them, and the next seek waits for an unchoke.  So one piece
 * that nobody wants keeps priority 1 and is made to look as though all its
 * blocks were on their way to the disk, for ever: we stay interested and
 * request nothing.  It is moved if somebody wants that very piece, and given
 * up a minute after the last want, since it holds other people's upload slots.
 */

#ifndef CONFLUENCE_SHIM_TORRENT_HPP
#define CONFLUENCE_SHIM_TORRENT_HPP

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>

#include <libtorrent/torrent_handle.hpp>
#include <libtorrent/torrent_info.hpp>

#include "shim/base/context.hpp"
#include "shim/metainfo/info_dict.hpp"
#include "shim/torrent/held_piece.hpp"
#include "shim/torrent/want_table.hpp"

namespace shim
{

/* What libtorrent is answered when a job was not done. */
lt::storage_error aborted();

class torrent : public std::enable_shared_from_this<torrent>
{
public:
    torrent(std::shared_ptr<context> c, shim_id_t id);

    shim_id_t const id;
    std::shared_ptr<context> const ctx;
    want_table wants;
    std::atomic<std::uint64_t> uploaded{0}; /* payload bytes */

    /* Any thread. */
    std::shared_ptr<storage> store() const;
    std::shared_ptr<layout const> info() const;
    void attach(std::shared_ptr<storage> store);
    void set_info(std::shared_ptr<layout const> info);

    /* The torrent was removed: wants nothing, lets go of the storage. */
    void close();
    bool closed() const { return m_closed; }

    /* Somebody reads, or did so some seconds ago, or we seed. */
    bool uploading() const;

    /* Makes the network thread look at the wants. */
    void poke();

    /* All that follows runs on the network thread. */

    lt::torrent_handle handle;
    std::unordered_map<std::uint32_t, held_piece> held;
    std::unordered_map<std::uint32_t, std::vector<write_handler>> aborting;
    std::vector<std::weak_ptr<peer>> peers;
    std::weak_ptr<peer> sender; /* of the block that arrives */
    bool suspicious = false;    /* a piece was bad */
    bool pause_is_kick = false;

    void files_checked();
    void reconcile();
    void tick();

    /*
     * Takes a block into its piece.  Returns 0 and has taken the handler;
     * EAGAIN, EEXIST or an errno as storage::begin().
     */
    int take_block(std::uint32_t piece,
        std::uint32_t offset,
        char const* buf,
        std::uint32_t len,
        write_handler& handler);

    /*
     * Aborts the writes that are to be aborted for a piece, unless a hash job
     * has taken them over (disk.hpp, rule 4).
     */
    void finish_aborts(std::uint32_t piece);

    /*
     * libtorrent's answer for a piece we have verified, or that was evicted
     * while we did: aborts the jobs so that it looks never downloaded.
     */
    void answer_aborted(std::uint32_t piece,
        hash_handler& hash,
        std::vector<write_handler>& writes,
        bool unwant);

    /* Gives up what is held of a piece; posts its abortion. */
    void abort_held(std::uint32_t piece);
    void abort_all_held();

    /* Blocks that arrive and the job that ends them, if they are ours. */
    bool anchor_write(std::uint32_t piece, write_handler& handler);
    bool anchor_hash(std::uint32_t piece, hash_handler& handler);

    /* Dials now instead of at libtorrent's next tick, a second away. */
    void dial(lt::tcp::endpoint const& ep);
    void kick();

    /* The metadata that peers gave is wrong; see suspects.cpp. */
    void metadata_refused();

    /*
     * Peers that TCP did not reach are tried by uTP: NATs let in what they do
     * not let in by TCP.  That lasts until a connection by uTP was begun,
     * since libtorrent dials a peer again after a pause of its own choice.
     */
    void unreached(lt::tcp::endpoint const& ep);
    void dialled_by_utp(lt::tcp::endpoint const& ep);
    void name_unreached();
    bool has_unreached() const { return !m_unreached.empty(); }

    void announce_have(std::uint32_t piece);
    void announce_all();
    void forget(std::uint32_t first, std::uint32_t n);
    void credit(sender_set const& senders);

    /* Once a second: see stalls.cpp. */
    void unstall();

    /* See hints.cpp. */
    void hint_peers();
    bool pulse();

private:
    struct told
    {
        clock::time_point deadline;
        std::uint8_t priority;
    };

    void apply(want_table::wish const& w,
        std::vector<std::pair<lt::piece_index_t, lt::download_priority_t>>&
            batch);
    bool make_room(std::uint32_t size);
    int begin_piece(std::uint32_t piece);
    void abort_unwanted(clock::time_point before);
    void abort_evicted(std::uint32_t first, std::uint32_t n);
    void order_wanted();
    bool is_stuck(std::uint32_t piece,
        std::vector<std::shared_ptr<peer>> const& all,
        clock::time_point now) const;
    void pick_anew(std::uint32_t piece);
    void promote();
    void cancel_requests();
    void clear_deadlines(std::vector<want_table::wish>& wishes);
    bool anchor_fits(std::uint32_t piece) const;
    void place_anchor();
    bool place_anchor_at(std::uint32_t piece);
    void release_anchor();

    mutable std::mutex m_mutex; /* of the two pointers */
    std::shared_ptr<storage> m_store;
    std::shared_ptr<layout const> m_info;
    std::atomic<bool> m_closed{false};

    /* network thread */
    std::unordered_map<std::uint32_t, told> m_told;
    std::vector<std::uint32_t> m_order; /* wanted, most urgent first */
    std::vector<std::weak_ptr<peer>> m_pulsed;
    clock::time_point m_pulse_end;
    std::uint32_t m_piece_n = 0;
    std::shared_ptr<lt::torrent_info const> m_files;
    bool m_checked = false;
    std::map<lt::tcp::endpoint, int> m_unreached; /* attempts left */
    std::set<lt::tcp::endpoint> m_utp_tried;
    std::size_t m_metadata_refused = 0; /* times, by several suspects */

    std::vector<write_handler> m_anchor_writes;
    hash_handler m_anchor_hash;
    std::uint32_t m_anchor = 0;
    bool m_anchor_filling = false;
    bool m_anchor_held = false;
    bool m_anchor_settling = false; /* libtorrent takes it back */
    bool m_anchor_dropped = false;  /* idle for too long */
};

} // namespace shim

#endif
