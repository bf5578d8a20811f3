/**
 * One call starts in each turn of the event loop.
 *
 * Many slots may come in one go. If their calls began together, the first halves of all of them would stand between each grant, which was found
 * fresh, and the second half of its call, which connects and writes: it would leave late, and nobody would notice. By turns a grant is looked at
 * when the calls before it have left.
 */

/** Starts a call; `false` when there is none to be started any more. */
export type Start = () => boolean;

/** All clients of a process share its event loop. */
const starts: Start[] = [];
let isDue = false;

/** Has `start` called in a turn of its own, after those that were there before. */
export function inTurn(start: Start): void {
  starts.push(start);
  schedule();
}

function schedule(): void {
  if (isDue || starts.length === 0) return;
  isDue = true;
  setImmediate(() => {
    isDue = false;
    // Who has left, or comes too late, takes no turn.
    while (starts.shift()?.() === false);
    schedule();
  });
}
