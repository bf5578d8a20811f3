import type { ReconcileResponse, TokenCount as WireTokenCount } from "../gen/turnstile/v1/throttle_pb.js";
import type { Reconciled, TokenCount } from "../permit.js";

/** What came of a reconcile, as its caller gets it. */
export function toReconciled({ refunded, owed }: ReconcileResponse): Reconciled {
  return { refunded: toTokens(refunded), owed: toTokens(owed) };
}

function toTokens(count: WireTokenCount | undefined): TokenCount {
  return {
    tokens: Number(count?.tokens ?? 0n),
    inputTokens: Number(count?.inputTokens ?? 0n),
    outputTokens: Number(count?.outputTokens ?? 0n),
  };
}
