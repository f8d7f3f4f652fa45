// The audit of npm's graphql-http: what each of its checks says.
import { auditServer } from "graphql-http";
import { say, url } from "./support.mjs";

const results = await auditServer({ url });
say(results.map(({ id, name, status, reason }) => ({ id, name, status, reason })));
process.exit();
