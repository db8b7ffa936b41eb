// Read before Azurite itself: when the process that started it dies, however it dies, the pipe ends and Azurite stops
// in order.
process.stdin.on("end", () => process.kill(process.pid, "SIGTERM")).resume().unref();
