#include "shim/base/ports.hpp"

#include <algorithm>
#include <sstream>
#include <type_traits>

#include <boost/asio/ip/v6_only.hpp>

#include <libtorrent/io_context.hpp>
#include <libtorrent/settings_pack.hpp>

#include "shim/session.hpp"

namespace shim
{

namespace
{

/* Without listening: libtorrent's own attempt must find it free. */
template <typename Socket>
bool can_bind(
    lt::tcp::endpoint const& at, typename Socket::protocol_type const protocol)
{
    lt::io_context ioc;
    lt::error_code ec;
    Socket s(ioc);

    s.open(protocol, ec);

    if (ec)
        return false;

    /* connections of before do not count */
    if constexpr (std::is_same_v<Socket, lt::tcp::socket>)
        s.set_option(lt::tcp::socket::reuse_address(true), ec);

    if (at.address().is_v6())
        s.set_option(boost::asio::ip::v6_only(true), ec);

    s.bind({at.address(), at.port()}, ec);
    return !ec;
}

lt::address bare(lt::address const& a)
{
    if (!a.is_v6())
        return a;

    lt::address_v6 v6 = a.to_v6();

    v6.scope_id(0);
    return v6;
}

} // namespace

ports::ports(std::string const& listen)
{
    std::istringstream in(listen);
    std::string s;

    while (std::getline(in, s, ','))
    {
        std::size_t const colon = s.rfind(':');

        if (colon == std::string::npos || colon == 0)
            continue;

        std::string const host =
            s[0] == '[' ? s.substr(1, colon - 2) : s.substr(0, colon);
        lt::error_code ec;
        lt::address const a = lt::make_address(host, ec);

        if (!ec)
            m_wanted.emplace_back(
                a, std::uint16_t(std::stoi(s.substr(colon + 1))));
    }
}

bool ports::opened(lt::socket_type_t const type, lt::tcp::endpoint const& at)
{
    m_open.emplace(type, at);
    m_gone.erase(bare(at.address()));
    m_stale.erase(bare(at.address()));

    bool const wanted = std::any_of(m_wanted.begin(),
        m_wanted.end(),
        [&](lt::tcp::endpoint const& w)
        {
            return (w.port() == at.port() || w.port() == 0)
                && w.address().is_v6() == at.address().is_v6();
        });

    if (!wanted)
        m_astray.emplace(type, at.address());

    return wanted;
}

void ports::refused(lt::socket_type_t const type, lt::address const& at)
{
    m_astray.emplace(type, at);
}

void ports::gone(lt::address const& at)
{
    m_stale.erase(at);

    if (std::any_of(m_open.begin(),
            m_open.end(),
            [&](socket const& s) { return bare(s.second.address()) == at; }))
    {
        m_gone.insert(at);
    }
}

bool ports::back(lt::address const& at)
{
    if (m_gone.erase(at) == 0)
        return false;

    m_stale.insert(at);
    return true;
}

void ports::closed()
{
    m_open.clear();
    m_astray.clear();
    m_gone.clear();
    m_stale.clear();
}

/* libtorrent listens on each address of the machine if any is wanted. */
std::vector<ports::socket> ports::lacking() const
{
    std::vector<socket> out;

    for (auto const& [type, address] : m_astray)
    {
        for (lt::tcp::endpoint const& w : m_wanted)
        {
            socket const s(type, {address, w.port()});

            if (w.address().is_v6() == address.is_v6()
                && (w.address() == address || w.address().is_unspecified())
                && m_open.count(s) == 0)
            {
                out.push_back(s);
            }
        }
    }

    return out;
}

bool ports::available() const
{
    std::vector<socket> const all = lacking();

    return std::any_of(all.begin(),
        all.end(),
        [](socket const& s)
        {
            auto const& [type, at] = s;
            bool const v6 = at.address().is_v6();

            if (type == lt::socket_type_t::tcp)
            {
                return can_bind<lt::tcp::socket>(
                    at, v6 ? lt::tcp::v6() : lt::tcp::v4());
            }

            return can_bind<lt::udp::socket>(
                at, v6 ? lt::udp::v6() : lt::udp::v4());
        });
}

} // namespace shim

extern "C" int shim_listen_again(shim_t* s)
try
{
    if (!s->where.stale())
    {
        if (!s->where.missing())
            return 0;

        if (!s->where.available())
            return 1;
    }

    lt::settings_pack p;

    /* those that stay the same would not be opened anew */
    p.set_str(lt::settings_pack::listen_interfaces, "");
    s->ses->apply_settings(p);

    s->where.closed();
    s->port = 0;

    p.set_str(lt::settings_pack::listen_interfaces, s->listen);
    s->ses->apply_settings(p);

    return 0;
}
catch (...)
{
    return 1;
}

extern "C" int shim_listen_address(
    shim_t* s, char const* const address, int const there)
try
{
    lt::address const at = lt::make_address(address);

    if (there)
        return s->where.back(at);

    s->where.gone(at);
    return 0;
}
catch (...)
{
    return 0;
}
