/*
 * New torrents: a .torrent made of names, lengths and hashes.
 */

#include <cstdlib>
#include <cstring>
#include <iterator>

#include <libtorrent/bencode.hpp>
#include <libtorrent/entry.hpp>

#include "shim/session.hpp"

namespace
{

namespace lt = libtorrent;

lt::entry::list_type path_list(shim_create_file_t const& file)
{
    lt::entry::list_type out;
    std::string const path(file.path, file.path_len);
    std::size_t begin = 0;

    for (;;)
    {
        std::size_t const end = path.find('/', begin);

        out.emplace_back(path.substr(begin, end - begin));

        if (end == std::string::npos)
            return out;

        begin = end + 1;
    }
}

lt::entry make_info(shim_create_t const& c)
{
    lt::entry info;

    for (std::uint32_t i = 0; i < c.file_n; ++i)
    {
        lt::entry file;

        file["length"] = lt::entry::integer_type(c.files[i].length);
        file["path"] = path_list(c.files[i]);
        file["path.utf-8"] = file["path"];
        info["files"].list().push_back(std::move(file));
    }

    info["name"] = std::string(c.name, c.name_len);
    info["piece length"] = lt::entry::integer_type(c.piece_length);
    info["pieces"] =
        std::string(static_cast<char const*>(c.pieces), c.pieces_len);
    return info;
}

} // namespace

extern "C" shim_rc_t shim_create(
    shim_create_t const* c, void** buf, size_t* len, char* err, size_t err_size)
try
{
    lt::entry root;
    std::vector<char> out;

    for (char const* const* url = c->trackers; url && *url; ++url)
    {
        if (root.find_key("announce-list") == nullptr)
            root["announce-list"].list().emplace_back(lt::entry::list_type());

        root["announce-list"].list().front().list().emplace_back(*url);
    }

    for (std::uint32_t i = 0; i < c->node_n; ++i)
    {
        lt::entry::list_type node;

        node.emplace_back(c->nodes[i].host);
        node.emplace_back(lt::entry::integer_type(c->nodes[i].port));
        root["nodes"].list().emplace_back(std::move(node));
    }

    root["created by"] = c->created_by;
    root["creation date"] = lt::entry::integer_type(c->creation_date);
    root["info"] = make_info(*c);

    lt::bencode(std::back_inserter(out), root);

    if (out.size() > std::size_t(shim::max_metainfo))
        throw shim::invalid_data("too many files: .torrent is too big");

    *buf = std::malloc(out.size());

    if (*buf == nullptr)
        return SHIM_ERROR;

    std::memcpy(*buf, out.data(), out.size());
    *len = out.size();
    return SHIM_OK;
}
catch (...)
{
    return shim::report_current_exception(err, err_size);
}
