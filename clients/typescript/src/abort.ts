/** What is to be called for each signal. A signal with a listener for each of a thousand waits would be reported as a leak. */
const callbacks = new WeakMap<AbortSignal, Set<() => void>>();

/** Has `callback` called when the signal is aborted, until the returned function is called. */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const all = callbacks.get(signal) ?? new Set();
  callbacks.set(signal, all);
  if (all.size === 0) signal.addEventListener("abort", ring);
  all.add(callback);
  return () => {
    all.delete(callback);
    if (all.size === 0) signal.removeEventListener("abort", ring);
  };
}

function ring(this: AbortSignal): void {
  for (const callback of [...(callbacks.get(this) ?? [])]) callback();
}
