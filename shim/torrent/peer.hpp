/*
 * What libtorrent would do for pieces it owns, done by a plugin, since it owns
 * none (torrent.hpp): HAVE and lt_donthave, uploads out of the cache, and
 * trust in peers that sent good data.  Network thread throughout.
 *
 * A request is answered when the peer's send buffer has room: libtorrent sees
 * our answers as plain bytes and would queue as many as we give.  What must
 * wait is looked at again by a timer.
 */

#ifndef CONFLUENCE_SHIM_PEERS_HPP
#define CONFLUENCE_SHIM_PEERS_HPP

#include <deque>
#include <memory>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include <libtorrent/bitfield.hpp>
#include <libtorrent/extensions.hpp>
#include <libtorrent/peer_connection_handle.hpp>
#include <libtorrent/peer_request.hpp>
#include <libtorrent/session_handle.hpp>

#include "shim/torrent/torrent.hpp"

namespace shim
{

class peer final : public lt::peer_plugin,
                   public std::enable_shared_from_this<peer>
{
public:
    peer(lt::peer_connection_handle const& pc, std::shared_ptr<torrent> t);
    ~peer() override;

    /* We have the piece now. */
    void announce(std::uint32_t piece);

    /* Goes on telling what we have; a big cache is told bit by bit. */
    void announce_some();

    /* We have pieces [first, first + n) no more. */
    void withdraw(std::uint32_t first, std::uint32_t n);

    /* It took part in a good piece. */
    void trust();

    /*
     * Tells libtorrent's picker what to ask this peer for first, and how many
     * blocks at once at least; see hints.cpp.
     */
    void hint(std::vector<lt::piece_index_t> const& order, int share);

    /* Bytes per second it has given lately; it fades while it is idle. */
    int rate() const { return m_rate; }

    bool useful() const;
    void quick_ack();

    /* See stalls.cpp. */
    bool idle() const { return m_owed.empty(); }
    bool owes(std::uint32_t piece) const;
    bool silent(clock::time_point now) const;
    bool could_give(std::uint32_t piece) const;
    void drop_silent();
    void pardon();

    /* See suspects.cpp. */
    bool suspect() const { return m_suspect && !m_gone; }
    void acquit() { m_suspect = false; }
    void drop_suspect();

    /* Answers requests while there is room; true if some have to wait. */
    bool pump();

    lt::string_view type() const override { return "confluence"; }
    void on_disconnect(lt::error_code const& ec) override;
    void on_piece_failed(lt::piece_index_t piece) override;
    void add_handshake(lt::entry& h) override;
    void on_connected() override;
    bool on_handshake(lt::span<char const> reserved) override;
    bool on_extension_handshake(lt::bdecode_node const& h) override;
    bool on_extended(int length, int msg, lt::span<char const> body) override;
    bool on_request(lt::peer_request const& r) override;
    bool on_cancel(lt::peer_request const& r) override;
    bool on_piece(lt::peer_request const& r, lt::span<char const> buf) override;
    bool on_choke() override;
    bool on_unchoke() override;
    bool on_reject(lt::peer_request const& r) override;
    void sent_request(lt::peer_request const& r) override;
    void sent_cancel(lt::peer_request const& r) override;
    void sent_have_none() override;
    void sent_choke() override;
    void tick() override;

private:
    bool valid(lt::peer_request const& r) const;
    bool listens() const;
    bool send_block(lt::peer_request const& r, storage const& store);
    void send(std::vector<char> const& msg);
    void reject(lt::peer_request const& r);
    void reject_all();
    void keep_greeting(lt::bdecode_node const& h);
    void note_rate();
    void note_block(lt::peer_request const& r);
    bool over_tcp() const;
    void no_delay();

    lt::peer_connection_handle m_pc;
    std::shared_ptr<torrent> m_torrent;
    std::deque<lt::peer_request> m_requests;
    std::set<std::uint64_t> m_owed; /* blocks it was asked for */
    clock::time_point m_last_block; /* one of these came, or the first ask */

    /* pieces below were told if we have them; above not yet */
    std::uint32_t m_announced = 0;
    bool m_greeted = false; /* its handshake came */
    bool m_kept = false;    /* keep_greeting() was done */
    std::string m_reserved; /* of the handshake, if these are kept */
    bool m_ready = false;   /* HAVE may be sent */
    bool m_gone = false;
    bool m_suspect = false; /* it gave metadata */
    bool m_fast = false;    /* BEP 6 */
    bool m_waits = false;   /* in the uploader's list */
    int m_rate = 0;
    int m_dont_have = 0; /* id of lt_donthave, 0: not supported */
};

/* Timers: peers whose send buffer was full, torrents that wait (hints.cpp). */
class uploader
{
public:
    explicit uploader(lt::io_context& ioc);

    void wait(std::weak_ptr<peer> p);
    void pulse(std::weak_ptr<torrent> t);
    void stop();

private:
    void arm();
    void run();
    void arm_pulse();
    void run_pulse();

    boost::asio::steady_timer m_timer;
    boost::asio::steady_timer m_pulse_timer;
    std::vector<std::weak_ptr<peer>> m_waiting;
    std::set<std::weak_ptr<torrent>, std::owner_less<std::weak_ptr<torrent>>>
        m_pulsing;
    bool m_armed = false;
    bool m_pulse_armed = false;
    bool m_stopped = false;
};

/* The plugin's part of a session: finds our torrents, ticks them. */
std::shared_ptr<lt::plugin> make_plugin(std::shared_ptr<context> ctx);

} // namespace shim

#endif
