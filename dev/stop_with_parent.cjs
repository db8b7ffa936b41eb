// Read before Azurite itself: when the process that started it dies, however it dies, the pipe ends and Azurite stops
// in order. What it says then goes into pipes that nobody reads any more: an error there would end it before its blobs
// are written.
for (const out of [process.stdout, process.stderr]) out.on("error", () => {});
process.stdin.on("end", () => process.kill(process.pid, "SIGTERM")).resume().unref();
