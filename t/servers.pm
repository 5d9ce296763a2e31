# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# servers.pm - redis, nginx and memcached: how they are started, on the
# loopback, each in a directory of its own, with small settings, with or without
# the malloc face.  Nothing of the machine's own servers is read or touched.
package servers;
use strict;
use warnings;
use Exporter qw(import);
use IO::Socket::INET;
use face;

our @EXPORT = qw(seed draw connect_to serve send_all read_line read_bytes
    redis_command nginx_command nginx_workers wrk memcached_command
    memcached_set memcached_value);

my $root = $> == 0;

# Pseudo-random numbers that are the same everywhere (Park and Miller).
my $seed;

sub seed
{
	($seed) = @_;
}

sub draw
{
	my ($below) = @_;

	$seed = $seed * 48271 % 2147483647;
	return $seed % $below;
}

sub directory
{
	my ($name) = @_;
	my $path = tmpdir() . "/$name";

	system 'rm', '-rf', $path;
	mkdir $path or die "$path: $!\n";
	return $path;
}

sub connect_to
{
	my ($port) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	    PeerPort => $port, Timeout => 5);

	binmode $socket if $socket;
	return $socket;
}

# serve(name, face or not, sub (dir, port) giving a command): a server that
# listens, as a hash.  Another process may take the port first: try again.
sub serve
{
	my ($name, $on_face, $command) = @_;
	my $dir = directory($name . ($on_face ? '-face' : '-plain'));

	for my $try (1 .. 3) {
		my $port = free_port();
		my $pid = start(cmd => [$command->($dir, $port)], in => $dir,
		    face => $on_face, log => "$dir/ld", out => "$dir/out");
		my $up = wait_for(10, sub { !alive($pid) ||
		    connect_to($port) });

		return { pid => $pid, port => $port, dir => $dir }
		    if $up && alive($pid);
		stop($pid, 'KILL');
		diag("$name, port $port:", slurp("$dir/out"));
	}
	die "$name does not start\n";
}

# Returns false if it is cut off.
sub send_all
{
	my ($socket, $data) = @_;

	while (length $data) {
		my $n = syswrite $socket, $data or return 0;
		substr $data, 0, $n, '';
	}
	return 1;
}

sub read_line
{
	my ($socket) = @_;
	local $/ = "\r\n";
	my $line = readline $socket;

	return '(cut off)' if !defined $line;
	chomp $line;
	return $line;
}

sub read_bytes
{
	my ($socket, $n) = @_;

	read $socket, my $bytes, $n + 2;
	return substr $bytes // '', 0, -2;
}

sub redis_command
{
	my ($dir, $port) = @_;

	return ('redis-server', '--port', $port, '--bind', '127.0.0.1',
	    '--save', '', '--appendonly', 'no', '--dir', $dir,
	    '--dbfilename', 'dump.rdb', '--enable-debug-command', 'yes',
	    '--io-threads', '2', '--daemonize', 'no');
}

sub nginx_files
{
	my ($dir) = @_;

	mkdir "$dir/$_" or die "$dir/$_: $!\n" for qw(html html/list tmp);
	seed(5);
	for my $size (0, 1, 100, 5000, 40_000, 300_000, 3_000_000) {
		my $text = '';
		$text .= sprintf "<p>%d</p>\n", draw(1_000_000)
		    while length $text < $size;
		spew("$dir/html/$size.html", substr $text, 0, $size);
		spew("$dir/html/list/$size", $size);
		utime 1_600_000_000, 1_600_000_000, "$dir/html/$size.html",
		    "$dir/html/list/$size", "$dir/html/list";
	}
}

sub nginx_config
{
	my ($dir, $port) = @_;
	my $user = $root ? "user root;\n" : '';
	my $paths = join '', map { "\t${_}_temp_path tmp/$_;\n" }
	    qw(client_body proxy fastcgi uwsgi scgi);

	return <<"CONF";
${user}daemon off;
worker_processes 2;
pid nginx.pid;
error_log error.log warn;
events { worker_connections 512; }
http {
	access_log off;
	keepalive_requests 1000;
$paths
	gzip on;
	gzip_types *;
	gzip_min_length 50;
	gzip_proxied any;
	server {
		listen 127.0.0.1:$port backlog=511;
		root html;
		location /list/ { autoindex on; }
		location /status { stub_status; }
		location /again/ {
			proxy_pass http://127.0.0.1:$port/;
			proxy_buffers 4 4k;
		}
		location ~ ^/turn/(\\w+)/(\\w+) { return 200 "\$2 \$1\\n"; }
		location /old/ { rewrite ^/old/(.*)\$ /\$1 last; }
	}
}
CONF
}

sub nginx_command
{
	my ($dir, $port) = @_;

	nginx_files($dir) if !-d "$dir/html";
	spew("$dir/nginx.conf", nginx_config($dir, $port));
	return ('nginx', '-e', "$dir/error.log", '-p', "$dir/", '-c',
	    'nginx.conf');
}

sub nginx_workers
{
	my ($pid) = @_;

	return split ' ', slurp("/proc/$pid/task/$pid/children");
}

# What wrk reported: requests, and whether a line speaks of an error. An answer
# that comes late is no error.
sub wrk
{
	my ($server, $seconds, $path, @more) = @_;
	my $out = "$server->{dir}/wrk";

	return start(out => $out, cmd => ['wrk', '-t', 1, '-c', 40, '-d',
	    "${seconds}s", '--timeout', '60s', @more,
	    "http://127.0.0.1:$server->{port}$path"]);
}

sub memcached_command
{
	my ($dir, $port) = @_;

	return ('memcached', '-l', '127.0.0.1', '-p', $port, '-U', 0, '-t', 2,
	    '-c', 1000, '-m', 64, $root ? ('-u', 'root') : ());
}

sub memcached_set
{
	my ($socket, $key, $value) = @_;

	send_all($socket, "set $key 7 0 " . length($value) . "\r\n$value\r\n");
	return read_line($socket);
}

sub memcached_value
{
	my ($i) = @_;

	return pack('N', $i * 2654435761 % 4294967296) x
	    (1 + $i * 37 % ($i % 50 ? 500 : 100_000));
}

1;
