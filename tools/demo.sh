
# Read by ./run: makes a sample, a torrent of it, and seeds it on the loopback.
# Sets seeder (its process), magnet and name.

sample=var/demo
mkdir -p $sample

if ls $sample/sample.* > /dev/null 2>&1; then
    name=$(cd $sample && ls sample.* | grep -v '\.torrent$' | head -1)

elif command -v ffmpeg > /dev/null; then
    echo "making a sample of a minute"
    name=sample.mp4

    ffmpeg -v error -y -f lavfi -i testsrc2=size=1280x720:rate=30 \
        -f lavfi -i sine=frequency=440:sample_rate=48000 -t 60 \
        -c:v libx264 -preset ultrafast -b:v 4M -maxrate 4M -bufsize 4M \
        -g 60 -pix_fmt yuv420p -c:a aac -b:a 128k -movflags +faststart \
        $sample/new.mp4 < /dev/null
    mv $sample/new.mp4 $sample/$name

else
    name=sample.bin

    head -c 33554432 /dev/urandom > $sample/new
    mv $sample/new $sample/$name
fi

ih=$(t/tools/mk_torrent.py $sample/demo.torrent $sample/$name v1 262144 \
    | sed -n 's/^v1 //p')

: > $sample/seeder.log
t/tools/lt_seed.py $sample/demo.torrent $sample --listen 127.0.0.1:0 \
    --while $$ > $sample/seeder.log 2>&1 &
seeder=$!

until seed_port=$(sed -n 's/^READY //p' $sample/seeder.log) \
    && [ -n "$seed_port" ]
do
    if ! kill -0 $seeder 2> /dev/null; then
        cat $sample/seeder.log >&2
        exit 1
    fi
    sleep 0.05
done

magnet="xt=urn:btih:$ih&x.pe=127.0.0.1:$seed_port"
