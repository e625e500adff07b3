// The cases of cases/retries.
import { runArea } from "./area.ts";

runArea("retries");
