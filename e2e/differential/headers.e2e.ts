// The cases of cases/headers.
import { runArea } from "./area.ts";

runArea("headers");
