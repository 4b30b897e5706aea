/*
 * Where a session listens, and where it should.
 *
 * libtorrent takes another port if one is in use, and never looks back: after a
 * reload that may be only because our predecessor, or another cache's, has not
 * left yet.  So what is wrong is remembered, and looked at now and then; when
 * some of it has got free, libtorrent is made to open its sockets anew.
 *
 * It also binds sockets to the interface that has the address, by its index.
 * If that is removed and one of the same name and address made, as by a VPN that
 * connects anew, libtorrent takes the sockets for those of the new one; nothing
 * comes in by them, and no uTP goes out.
 */

#ifndef CONFLUENCE_SHIM_PORTS_HPP
#define CONFLUENCE_SHIM_PORTS_HPP

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <libtorrent/address.hpp>
#include <libtorrent/socket.hpp>
#include <libtorrent/socket_type.hpp>

namespace shim
{

namespace lt = libtorrent;

/* Owner thread. */
class ports
{
public:
    /* listen: as for libtorrent, "0.0.0.0:42069,[::]:42069"; 0: any port */
    explicit ports(std::string const& listen);

    /* A socket is open; whether it is one that was wanted. */
    bool opened(lt::socket_type_t type, lt::tcp::endpoint const& at);

    /* Whether TCP has it, which is told of for both. */
    bool has_tcp(lt::tcp::endpoint const& at) const
    {
        return m_open.count({lt::socket_type_t::tcp, at}) != 0;
    }

    /* None could be opened: the port is in use, or the address is not there. */
    void refused(lt::socket_type_t type, lt::address const& at);

    /* Whether there is something to gain: ports that we want and have not. */
    bool missing() const { return !lacking().empty(); }

    /* Whether any of them can be had now. */
    bool available() const;

    /* An address of the machine, without a scope, is gone. */
    void gone(lt::address const& at);

    /* It is there again; whether sockets are on it from before. */
    bool back(lt::address const& at);

    /* Whether there is such an address, and libtorrent has not noticed. */
    bool stale() const { return !m_stale.empty(); }

    /* All sockets are closed. */
    void closed();

private:
    using socket = std::pair<lt::socket_type_t, lt::tcp::endpoint>;

    std::vector<socket> lacking() const;

    std::vector<lt::tcp::endpoint> m_wanted;
    std::set<socket> m_open;
    std::set<std::pair<lt::socket_type_t, lt::address>> m_astray;
    std::set<lt::address> m_gone;
    std::set<lt::address> m_stale;
};

} // namespace shim

#endif
