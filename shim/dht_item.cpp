#include "shim/dht_item.hpp"

#include <cassert>
#include <cerrno>
#include <memory>

#include <libtorrent/entry.hpp>
#include <libtorrent/hasher.hpp>
#include <openssl/evp.h>

#include "shim/session.hpp"

namespace shim
{

namespace
{

constexpr std::size_t max_searches = 64;
constexpr std::size_t max_known = 500; /* of a search */
constexpr int max_queries = 200;       /* the same */
constexpr int nearest = 8;             /* nodes that store a value */
constexpr int at_once = 4;
constexpr int max_value = 1000; /* bytes, BEP 44 */

constexpr std::chrono::milliseconds slow_after(1000);
constexpr std::chrono::milliseconds failed_after(3000);
constexpr std::chrono::milliseconds start_again(500);
constexpr std::chrono::milliseconds more_nodes_within(2000);
constexpr std::chrono::milliseconds tick(100);
constexpr std::chrono::seconds forgotten_after(60);

/* Never a pointer to anything: libtorrent carries it along. */
struct query_number;

lt::address_v4 read_v4(char const* const p)
{
    lt::address_v4::bytes_type b;

    std::copy_n(p, b.size(), reinterpret_cast<char*>(b.data()));
    return lt::address_v4(b);
}

lt::address_v6 read_v6(char const* const p)
{
    lt::address_v6::bytes_type b;

    std::copy_n(p, b.size(), reinterpret_cast<char*>(b.data()));
    return lt::address_v6(b);
}

std::uint16_t read_port(char const* const p)
{
    return std::uint16_t(static_cast<unsigned char>(p[0]) << 8
        | static_cast<unsigned char>(p[1]));
}

bool verify(lt::string_view const key,
    lt::string_view const sig,
    std::string const& text)
{
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> const pkey(
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519,
            nullptr,
            reinterpret_cast<unsigned char const*>(key.data()),
            key.size()),
        EVP_PKEY_free);
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> const md(
        EVP_MD_CTX_new(), EVP_MD_CTX_free);

    return pkey && md
        && EVP_DigestVerifyInit(md.get(), nullptr, nullptr, nullptr, pkey.get())
        == 1
        && EVP_DigestVerify(md.get(),
               reinterpret_cast<unsigned char const*>(sig.data()),
               sig.size(),
               reinterpret_cast<unsigned char const*>(text.data()),
               text.size())
        == 1;
}

/* What is signed, BEP 44. */
std::string signed_text(
    std::string const& salt, std::int64_t const seq, lt::string_view const v)
{
    std::string text;

    if (!salt.empty())
        text = "4:salt" + std::to_string(salt.size()) + ":" + salt;

    text += "3:seqi" + std::to_string(seq) + "e1:v";
    text.append(v.data(), v.size());
    return text;
}

} // namespace

items::items(lt::session& ses, context const& ctx)
    : m_ses(ses)
    , m_ctx(ctx)
{
}

std::uint64_t items::get(lt::sha1_hash const& target,
    std::string salt,
    std::chrono::milliseconds const timeout)
{
    clock::time_point const now = clock::now();

    for (auto& [id, s] : m_searches)
    {
        if (s.done || s.target != target || s.salt != salt)
            continue;

        s.users++;
        s.deadline = std::max(s.deadline, now + timeout);
        return id;
    }

    if (m_searches.size() >= max_searches)
        return 0;

    search& s = m_searches[++m_id];

    s.target = target;
    s.salt = std::move(salt);
    s.begun = now;
    s.deadline = s.begun + timeout;
    start(s);

    return m_id;
}

std::string const* items::value(std::uint64_t const id) const
{
    auto const it = m_searches.find(id);

    return it == m_searches.end() || !it->second.done
            || it->second.value.empty()
        ? nullptr
        : &it->second.value;
}

void items::drop(std::uint64_t const id)
{
    auto const it = m_searches.find(id);

    if (it != m_searches.end() && --it->second.users == 0)
        m_searches.erase(it);
}

/* The answers are told to all searches that have heard few nodes yet. */
void items::start(search& s)
{
    s.next_start = clock::now() + start_again;

    for (auto const& [address, nid] :
        m_ses.session_state(lt::session::save_dht_state).dht_state.nids)
    {
        m_v6 = m_v6 || address.is_v6();
        m_ses.dht_live_nodes(nid);
    }
}

void items::add(search& s, lt::sha1_hash const& id, lt::udp::endpoint const& ep)
{
    if (ep.port() == 0 || s.nodes.size() >= max_known
        || (ep.address().is_v6() && !m_v6) || m_ctx.blocks(ep.address())
        || s.nodes.count(id ^ s.target) != 0
        || !s.addresses.insert(ep.address()).second)
    {
        return;
    }

    s.nodes[id ^ s.target].ep = ep;
}

void items::add_nodes(search& s, lt::bdecode_node const& reply)
{
    constexpr std::size_t id_len = 20;
    lt::string_view const v4 = reply.dict_find_string_value("nodes");
    lt::string_view const v6 = reply.dict_find_string_value("nodes6");

    for (std::size_t i = 0; i + id_len + 6 <= v4.size(); i += id_len + 6)
    {
        char const* const p = v4.data() + i;

        add(s,
            lt::sha1_hash(p),
            {read_v4(p + id_len), read_port(p + id_len + 4)});
    }

    for (std::size_t i = 0; i + id_len + 18 <= v6.size(); i += id_len + 18)
    {
        char const* const p = v6.data() + i;

        add(s,
            lt::sha1_hash(p),
            {read_v6(p + id_len), read_port(p + id_len + 16)});
    }
}

/* Keeps a value that is good, and better than what there is. */
void items::take(search& s, lt::bdecode_node const& reply) const
{
    lt::bdecode_node const node = reply.dict_find("v");

    if (!node)
        return;

    lt::span<char const> const raw = node.data_section();
    lt::string_view const v(raw.data(), std::size_t(raw.size()));

    if (v.empty() || v.size() > max_value)
        return;

    if (lt::hasher(raw).final() == s.target)
    {
        s.is_mutable = false;
        s.value.assign(v.data(), v.size());
        return;
    }

    lt::string_view const key = reply.dict_find_string_value("k");
    lt::string_view const sig = reply.dict_find_string_value("sig");
    lt::bdecode_node const seq = reply.dict_find_int("seq");

    if (key.size() != 32 || sig.size() != 64 || !seq
        || (!s.value.empty() && seq.int_value() <= s.seq))
    {
        return;
    }

    lt::hasher h(key);

    if (!s.salt.empty())
        h.update(s.salt);

    if (h.final() != s.target
        || !verify(key, sig, signed_text(s.salt, seq.int_value(), v)))
    {
        return;
    }

    s.is_mutable = true;
    s.seq = seq.int_value();
    s.value.assign(v.data(), v.size());
}

void items::ask(std::uint64_t const id,
    search& s,
    lt::sha1_hash const& distance,
    node& n,
    clock::time_point const now)
{
    lt::entry e;

    e["q"] = "get";
    e["a"]["target"] = s.target.to_string();

    n.st = state::asked;
    n.asked = now;
    s.queries++;
    m_queries[++m_number] = {id, distance, now};

    m_ses.dht_direct_request(
        n.ep, e, lt::client_data_t(reinterpret_cast<query_number*>(m_number)));
}

/* False if there is nobody left to ask or to wait for. */
bool items::ask_on(
    std::uint64_t const id, search& s, clock::time_point const now)
{
    int answered = 0;
    int asked = 0;
    bool waits = false;

    for (auto& [distance, n] : s.nodes)
    {
        if (n.st == state::asked && now - n.asked > slow_after)
            n.st = state::slow;

        if (n.st == state::slow && now - n.asked > failed_after)
            n.st = state::failed;

        asked += n.st == state::asked ? 1 : 0;
    }

    for (auto& [distance, n] : s.nodes)
    {
        if (answered == nearest)
            break;

        if (n.st == state::fresh && asked < at_once && s.queries < max_queries)
        {
            ask(id, s, distance, n, now);
            asked++;
        }

        answered += n.st == state::answered ? 1 : 0;
        waits = waits || n.st == state::asked || n.st == state::slow;
    }

    return waits;
}

void items::run(std::uint64_t const id,
    search& s,
    clock::time_point const now,
    std::deque<shim_event_t>& out)
{
    if (s.done)
        return;

    if (!s.value.empty() && !s.is_mutable)
    {
        finish(id, s, 0, out);
        return;
    }

    bool const waits = ask_on(id, s, now);
    bool const few = s.answers < nearest;

    /* libtorrent may just have begun to know nodes */
    if (!waits && few && now >= s.next_start)
        start(s);

    bool const over = !waits && !s.nodes.empty()
        && (!few || now - s.begun > more_nodes_within);

    if (!over && now < s.deadline)
        return;

    /* what was found is not lost, even if there may be a newer one */
    if (!s.value.empty())
        finish(id, s, 0, out);
    else
        finish(id, s, over && s.answers != 0 ? ENOENT : ETIMEDOUT, out);
}

void items::finish(std::uint64_t const id,
    search& s,
    int const error,
    std::deque<shim_event_t>& out)
{
    shim_event_t ev{};

    s.done = true;
    s.nodes.clear();
    s.addresses.clear();

    ev.type = SHIM_EVENT_ITEM;
    ev.id = id;
    ev.error = error;
    out.push_back(ev);
}

int items::poll(std::deque<shim_event_t>& out)
{
    clock::time_point const now = clock::now();
    bool running = false;

    for (auto& [id, s] : m_searches)
    {
        run(id, s, now, out);
        running = running || !s.done;
    }

    /* one that could not be sent is never answered */
    for (auto it = m_queries.begin(); it != m_queries.end();)
    {
        if (now - it->second.sent > forgotten_after)
            it = m_queries.erase(it);
        else
            ++it;
    }

    return running ? int(tick.count()) : -1;
}

void items::answer(
    lt::dht_live_nodes_alert const& a, std::deque<shim_event_t>& out)
{
    clock::time_point const now = clock::now();
    auto const nodes = a.nodes();

    for (auto& [id, s] : m_searches)
    {
        if (s.done || s.answers >= nearest)
            continue;

        for (auto const& [nid, ep] : nodes)
            add(s, nid, ep);

        run(id, s, now, out);
    }
}

void items::answer(
    lt::dht_direct_response_alert const& a, std::deque<shim_event_t>& out)
{
    auto const number =
        reinterpret_cast<std::uintptr_t>(a.userdata.get<query_number>());
    auto const found = m_queries.find(number);

    if (found == m_queries.end())
        return;

    query const q = found->second;

    m_queries.erase(found);

    auto const it = m_searches.find(q.search);

    if (it == m_searches.end() || it->second.done)
        return;

    search& s = it->second;
    lt::bdecode_node const message = a.response();
    lt::bdecode_node const reply = message.type() == lt::bdecode_node::dict_t
        ? message.dict_find_dict("r")
        : lt::bdecode_node();
    node& n = s.nodes[q.distance];

    n.st = reply ? state::answered : state::failed;

    if (reply)
    {
        s.answers++;
        take(s, reply);
        add_nodes(s, reply);
    }

    run(q.search, s, clock::now(), out);
}

} // namespace shim

extern "C" shim_rc_t shim_item_get(shim_t* s,
    uint8_t const* target,
    void const* salt,
    size_t salt_len,
    uint32_t timeout_ms,
    uint64_t* id)
try
{
    assert(s->on_owner_thread());

    if (!s->ses->is_dht_running())
        return SHIM_INVALID;

    *id = s->items->get(lt::sha1_hash(reinterpret_cast<char const*>(target)),
        std::string(static_cast<char const*>(salt), salt_len),
        std::chrono::milliseconds(timeout_ms));

    return *id == 0 ? SHIM_NOT_READY : SHIM_OK;
}
catch (...)
{
    return SHIM_ERROR;
}

extern "C" shim_rc_t shim_item(
    shim_t* s, uint64_t id, void const** buf, size_t* len)
{
    std::string const* const value = s->items->value(id);

    if (value == nullptr)
        return SHIM_NOT_READY;

    *buf = value->data();
    *len = value->size();
    return SHIM_OK;
}

extern "C" void shim_item_drop(shim_t* s, uint64_t id)
{
    s->items->drop(id);
}

extern "C" int shim_item_poll(shim_t* s)
try
{
    std::size_t const n = s->events.size();
    int const next = s->items->poll(s->events);

    /* the caller comes for events when the eventfd says so */
    if (s->events.size() != n)
        s->ctx->events.wake();

    return next;
}
catch (...)
{
    return -1;
}
