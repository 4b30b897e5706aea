#include "shim/torrent/peer.hpp"

#include <algorithm>

#include <libtorrent/entry.hpp>
#include <libtorrent/peer_info.hpp>
#include <libtorrent/settings_pack.hpp>

namespace shim
{

namespace
{

enum message : std::uint8_t
{
    msg_have = 4,
    msg_piece = 7,
    msg_reject_request = 16,
    msg_extended = 20
};

/* bytes that a peer's send buffer may hold before its requests wait */
constexpr int send_high = 1 << 20;
constexpr std::size_t max_requests = 500;
constexpr std::uint32_t announce_step = 16384;
constexpr std::chrono::milliseconds pump_interval(10);
constexpr std::chrono::milliseconds pulse_interval(3);

void put32(std::vector<char>& msg, std::uint32_t const v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        msg.push_back(static_cast<char>(v >> shift));
}

void put_have(std::vector<char>& msg, std::uint32_t const piece)
{
    put32(msg, 5);
    msg.push_back(msg_have);
    put32(msg, piece);
}

std::uint32_t number(lt::piece_index_t const piece)
{
    return std::uint32_t(static_cast<int>(piece));
}

class torrent_hooks final : public lt::torrent_plugin
{
public:
    torrent_hooks(std::shared_ptr<torrent> t, void const* native)
        : m_torrent(std::move(t))
        , m_native(native)
    {
    }

    ~torrent_hooks() override { m_torrent->ctx->torrents.erase(m_native); }

    std::shared_ptr<lt::peer_plugin> new_connection(
        lt::peer_connection_handle const& pc) override
    {
        auto p = std::make_shared<peer>(pc, m_torrent);
        auto& peers = m_torrent->peers;

        peers.erase(std::remove_if(peers.begin(),
                        peers.end(),
                        [](auto const& w) { return w.expired(); }),
            peers.end());
        peers.push_back(p);
        return p;
    }

    void on_files_checked() override { m_torrent->files_checked(); }

    bool on_pause() override { return m_torrent->pause_is_kick; }

private:
    std::shared_ptr<torrent> m_torrent;
    void const* m_native;
};

class session_hooks final : public lt::plugin
{
public:
    explicit session_hooks(std::shared_ptr<context> ctx)
        : m_ctx(std::move(ctx))
    {
    }

    lt::feature_flags_t implemented_features() override
    {
        return lt::plugin::tick_feature;
    }

    std::shared_ptr<lt::torrent_plugin> new_torrent(
        lt::torrent_handle const& h, lt::client_data_t const data) override
    {
        torrent* const t = data.get<torrent>();

        if (t == nullptr)
            return nullptr;

        void const* const native = h.native_handle().get();

        t->handle = h;
        m_ctx->torrents[native] = t->weak_from_this();
        return std::make_shared<torrent_hooks>(t->shared_from_this(), native);
    }

    void on_tick() override
    {
        /* a tick may end with a torrent leaving the map */
        std::vector<std::shared_ptr<torrent>> all;

        for (auto const& entry : m_ctx->torrents)
        {
            if (auto t = entry.second.lock())
                all.push_back(std::move(t));
        }

        for (auto const& t : all)
            t->tick();

        if (m_ctx->utp_after_tcp)
            dial_again(all);
    }

    void added(lt::session_handle const& s) override { m_session = s; }

private:
    /*
     * A setting of the session decides how peers are dialled.  libtorrent
     * dials later in this very tick; what is posted runs after it.
     */
    void dial_again(std::vector<std::shared_ptr<torrent>> const& all)
    {
        bool any = false;

        for (auto const& t : all)
        {
            any = any || t->has_unreached();
            t->name_unreached();
        }

        if (!any)
            return;

        set_outgoing_utp(m_session, true);
        boost::asio::post(
            *m_ctx->ioc, [s = m_session] { set_outgoing_utp(s, false); });
    }

    static void set_outgoing_utp(lt::session_handle s, bool const on)
    {
        lt::settings_pack p;

        if (!s.is_valid())
            return;

        p.set_bool(lt::settings_pack::enable_outgoing_utp, on);
        s.apply_settings(p);
    }

    std::shared_ptr<context> m_ctx;
    lt::session_handle m_session;
};

} // namespace

std::shared_ptr<lt::plugin> make_plugin(std::shared_ptr<context> ctx)
{
    return std::make_shared<session_hooks>(std::move(ctx));
}

peer::peer(lt::peer_connection_handle const& pc, std::shared_ptr<torrent> t)
    : m_pc(pc)
    , m_torrent(std::move(t))
{
    if (m_pc.is_outgoing() && !over_tcp())
        m_torrent->dialled_by_utp(m_pc.remote());
}

peer::~peer() = default;

void peer::on_disconnect(lt::error_code const&)
{
    if (!m_greeted && !m_gone && m_pc.is_outgoing() && over_tcp())
        m_torrent->unreached(m_pc.remote());

    keep_greeting(lt::bdecode_node());
    m_gone = true;
    m_requests.clear();
}

/*
 * libtorrent calls a torrent that wants nothing "upload only" (BEP 21), and
 * whoever meets such a one that has nothing either, disconnects.  We have
 * something and may want more at any moment.
 */
void peer::add_handshake(lt::entry& h)
{
    h.dict().erase("upload_only");
}

bool peer::on_handshake(lt::span<char const> const reserved)
{
    m_greeted = true;
    m_fast = reserved.size() >= 8 && (reserved[7] & 0x04) != 0;

    if (m_torrent->ctx->greetings)
        m_reserved.assign(reserved.data(), std::size_t(reserved.size()));

    no_delay();
    return true;
}

void peer::on_connected()
{
    no_delay();
}

bool peer::on_extension_handshake(lt::bdecode_node const& h)
{
    lt::bdecode_node const m = h.dict_find_dict("m");
    std::int64_t const id = m ? m.dict_find_int_value("lt_donthave") : 0;

    m_dont_have = id > 0 && id < 256 ? int(id) : 0;
    keep_greeting(h);
    return true;
}

void peer::sent_have_none()
{
    /* announced by tick(), when we know what the peer has */
    m_ready = true;
}

/*
 * A seed wants nothing of us.  It must not be told what we have either: were
 * that everything, it would take us for a seed too and disconnect.
 */
bool peer::listens() const
{
    return m_ready && !m_gone && !m_pc.is_seed() && !m_pc.upload_only()
        && m_pc.type() == lt::connection_type::bittorrent;
}

void peer::tick()
{
    /*
     * A peer without the fast extension is told nothing if we have nothing;
     * thus nothing tells us that HAVE may be sent.
     */
    if (!m_ready && !m_gone && m_torrent->info() && !m_pc.is_connecting()
        && !m_pc.in_handshake())
    {
        m_ready = true;
    }

    /* one that does not speak the extension protocol (BEP 10) */
    if (m_ready && m_reserved.size() >= 8 && (m_reserved[5] & 0x10) == 0)
        keep_greeting(lt::bdecode_node());

    note_rate();
    announce_some();
}

void peer::announce_some()
{
    std::shared_ptr<storage> const store = m_torrent->store();
    std::shared_ptr<layout const> const info = m_torrent->info();
    std::vector<char> msg;

    if (!listens() || !store || !info)
        return;

    std::uint32_t const end =
        std::min(info->piece_n, m_announced + announce_step);

    for (; m_announced < end; ++m_announced)
    {
        if (store->complete(m_announced))
            put_have(msg, m_announced);
    }

    if (!msg.empty())
        send(msg);
}

void peer::announce(std::uint32_t const piece)
{
    std::vector<char> msg;

    if (piece >= m_announced || !listens())
        return;

    put_have(msg, piece);
    send(msg);
}

void peer::withdraw(std::uint32_t const first, std::uint32_t const n)
{
    std::vector<char> msg;
    std::uint32_t const end = std::min(first + n, m_announced);

    if (m_dont_have == 0 || !listens())
        return;

    for (std::uint32_t piece = first; piece < end; ++piece)
    {
        put32(msg, 6);
        msg.push_back(msg_extended);
        msg.push_back(static_cast<char>(m_dont_have));
        put32(msg, piece);
    }

    if (!msg.empty())
        send(msg);
}

bool peer::on_piece(lt::peer_request const& r, lt::span<char const>)
{
    note_block(r);
    m_torrent->sender = weak_from_this();
    return false;
}

bool peer::valid(lt::peer_request const& r) const
{
    std::shared_ptr<layout const> const info = m_torrent->info();

    if (!info || r.piece < lt::piece_index_t(0)
        || number(r.piece) >= info->piece_n || r.start < 0 || r.length <= 0
        || r.length > int(block_size))
    {
        return false;
    }

    return std::int64_t(r.start) + r.length
        <= std::int64_t(info->hashes->piece_size(number(r.piece)));
}

bool peer::on_request(lt::peer_request const& r)
{
    std::shared_ptr<storage> const store = m_torrent->store();

    if (m_pc.is_choked() || !m_torrent->uploading() || !store || !valid(r)
        || !store->complete(number(r.piece))
        || m_requests.size() >= max_requests)
    {
        reject(r);
        return true;
    }

    m_requests.push_back(r);

    if (!m_waits && pump())
    {
        m_waits = true;
        m_torrent->ctx->uploads->wait(weak_from_this());
    }

    return true;
}

bool peer::on_cancel(lt::peer_request const& r)
{
    auto const it = std::find(m_requests.begin(), m_requests.end(), r);

    if (it != m_requests.end())
    {
        m_requests.erase(it);
        reject(r);
    }

    return true;
}

void peer::sent_choke()
{
    reject_all();
}

void peer::reject_all()
{
    std::deque<lt::peer_request> const requests = std::move(m_requests);

    m_requests.clear();

    for (lt::peer_request const& r : requests)
        reject(r);
}

void peer::reject(lt::peer_request const& r)
{
    std::vector<char> msg;

    if (!m_fast || m_gone)
        return;

    put32(msg, 13);
    msg.push_back(msg_reject_request);
    put32(msg, number(r.piece));
    put32(msg, std::uint32_t(r.start));
    put32(msg, std::uint32_t(r.length));
    send(msg);
}

void peer::send(std::vector<char> const& msg)
{
    if (!m_pc.is_disconnecting())
        m_pc.send_buffer(msg.data(), int(msg.size()));
}

bool peer::send_block(lt::peer_request const& r, storage const& store)
{
    std::vector<char> msg;

    msg.reserve(13 + std::size_t(r.length));
    put32(msg, 9 + std::uint32_t(r.length));
    msg.push_back(msg_piece);
    put32(msg, number(r.piece));
    put32(msg, std::uint32_t(r.start));
    msg.resize(13 + std::size_t(r.length));

    if (store.read(number(r.piece),
            std::uint32_t(r.start),
            msg.data() + 13,
            std::uint32_t(r.length))
        != 0)
    {
        return false;
    }

    send(msg);
    m_torrent->uploaded += std::uint64_t(r.length);
    return true;
}

bool peer::pump()
{
    lt::peer_info info;
    std::shared_ptr<storage> const store = m_torrent->store();

    m_waits = false;

    if (m_gone || m_requests.empty())
        return false;

    if (!store || !m_torrent->uploading())
    {
        reject_all();
        return false;
    }

    m_pc.get_peer_info(info);

    int room = send_high - info.used_send_buffer;

    while (!m_requests.empty() && room > 0)
    {
        lt::peer_request const r = m_requests.front();

        m_requests.pop_front();
        room -= r.length;

        if (!send_block(r, *store))
            reject(r);

        /* sending may have closed the connection */
        if (m_gone)
            return false;
    }

    m_waits = !m_requests.empty();
    return m_waits;
}

uploader::uploader(lt::io_context& ioc)
    : m_timer(ioc)
    , m_pulse_timer(ioc)
{
}

void uploader::wait(std::weak_ptr<peer> p)
{
    m_waiting.push_back(std::move(p));
    arm();
}

void uploader::stop()
{
    m_stopped = true;
    m_waiting.clear();
    m_pulsing.clear();
    m_timer.cancel();
    m_pulse_timer.cancel();
}

void uploader::arm()
{
    if (m_armed || m_stopped || m_waiting.empty())
        return;

    m_armed = true;
    m_timer.expires_after(pump_interval);
    m_timer.async_wait(
        [this](lt::error_code const& ec)
        {
            /* on cancellation this object may be gone */
            if (ec)
                return;

            m_armed = false;
            run();
        });
}

void uploader::run()
{
    std::vector<std::weak_ptr<peer>> const round = std::move(m_waiting);

    m_waiting.clear();

    for (auto const& weak : round)
    {
        auto const p = weak.lock();

        if (p && p->pump())
            m_waiting.push_back(weak);
    }

    arm();
}

void uploader::pulse(std::weak_ptr<torrent> t)
{
    m_pulsing.insert(std::move(t));
    arm_pulse();
}

void uploader::arm_pulse()
{
    if (m_pulse_armed || m_stopped || m_pulsing.empty())
        return;

    m_pulse_armed = true;
    m_pulse_timer.expires_after(pulse_interval);
    m_pulse_timer.async_wait(
        [this](lt::error_code const& ec)
        {
            /* on cancellation this object may be gone */
            if (ec)
                return;

            m_pulse_armed = false;
            run_pulse();
        });
}

void uploader::run_pulse()
{
    for (auto it = m_pulsing.begin(); it != m_pulsing.end();)
    {
        auto const t = it->lock();

        if (t && t->pulse())
            ++it;
        else
            it = m_pulsing.erase(it);
    }

    arm_pulse();
}

} // namespace shim
