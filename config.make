
# Read when the makefile has been written: a rule for the archive, unless it
# is built elsewhere.

if [ -z "$CONFLUENCE_LIB" ]; then

    cat << END                                                >> $NGX_MAKEFILE

$confluence_lib:	confluence_lib_always
	\$(MAKE) -C $ngx_addon_dir lib BUILD=$PWD/$NGX_OBJS/confluence

confluence_lib_always:

END

fi
