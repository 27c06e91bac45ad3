// Work in slices: between two of them the browser draws and answers its user.

const kSlice = 8;  // milliseconds

function turn() {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}

// Calls step(0), step(1), ... step(count - 1). False where `goesOn` said no between two slices.
export async function inSlices(count, step, goesOn = () => true) {
  let until = performance.now() + kSlice;
  for (let i = 0; i < count; ++i) {
    step(i);
    if (performance.now() > until) {
      await turn();
      if (!goesOn()) return false;
      until = performance.now() + kSlice;
    }
  }
  return true;
}
