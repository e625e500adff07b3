// The cases of cases/browsers: CORS and sessions.
import { runArea } from "./area.ts";

runArea("browsers");
