# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
"""Who libnpool is measured beside, and where that is found."""

import glob
import os

PEERS = (  # name, file, package
    ("jemalloc", "libjemalloc.so.2", "libjemalloc2"),
    ("tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
    ("mimalloc", "libmimalloc.so.2", "libmimalloc2.0"),
)
LIBRARY_FOLDERS = ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib",
                   "/usr/local/lib")
# What lets Netty do its best: no search for leaks, and memory by Unsafe.
JAVA = ["java", "-XX:+UseSerialGC", "-Dio.netty.leakDetection.level=disabled",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED"]


def find_library(name):
    for folder in LIBRARY_FOLDERS:
        for path in sorted(glob.glob(os.path.join(folder, name))):
            return path
    return None
