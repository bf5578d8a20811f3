export { FakeTurnstile, type FakeGrant, type FakeWaiter } from "./fake.js";
