// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the libnpool authors
//
// The echo server of bench/echo.py on Netty: what comes is written back, by one
// thread for each CPU that the process may use, from pooled direct buffers,
// which Netty takes by its guess of what comes. Like the servers in C it stops
// reading from who does not read:
//
//	java EchoServer
//
// The first line says the port. It ends when standard input does.

import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import java.net.InetSocketAddress;

public final class EchoServer {
	static final class Echo extends ChannelInboundHandlerAdapter {
		@Override
		public void channelRead(ChannelHandlerContext c, Object buffer) {
			c.write(buffer, c.voidPromise());
		}

		@Override
		public void channelReadComplete(ChannelHandlerContext c) {
			c.flush();
		}

		@Override
		public void channelWritabilityChanged(ChannelHandlerContext c) {
			Channel channel = c.channel();

			channel.config().setAutoRead(channel.isWritable());
		}

		@Override
		public void exceptionCaught(ChannelHandlerContext c,
		    Throwable broken) {
			c.close();
		}
	}

	public static void main(String[] args) throws Exception {
		EventLoopGroup threads = new NioEventLoopGroup(
		    Runtime.getRuntime().availableProcessors());
		ServerBootstrap server = new ServerBootstrap()
		    .group(threads)
		    .channel(NioServerSocketChannel.class)
		    .option(ChannelOption.SO_BACKLOG, 4096)
		    .childOption(ChannelOption.TCP_NODELAY, true)
		    .childOption(ChannelOption.ALLOCATOR,
			new PooledByteBufAllocator(true))
		    .childHandler(new ChannelInitializer<SocketChannel>() {
			@Override
			protected void initChannel(SocketChannel c) {
				c.pipeline().addLast(new Echo());
			}
		    });
		Channel listener = server.bind("127.0.0.1", 0).sync().channel();

		System.out.println("port " +
		    ((InetSocketAddress)listener.localAddress()).getPort());
		while (System.in.read() >= 0)
			;
		System.exit(0);
	}
}
