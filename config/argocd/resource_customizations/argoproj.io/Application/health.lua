-- The health of an Application among the resources of another one: its own. Argo CD judges no Application by itself, so that waves
-- of Applications would not wait for one another.
local status = obj.status or {}
local sync = status.sync or {}
local operation = status.operationState
if operation == nil and sync.status ~= "Synced" then
  return { status = "Progressing", message = "Waiting for the first sync" }
end
if operation ~= nil and operation.phase == "Running" then
  return { status = "Progressing", message = operation.message or "A sync is going on" }
end
local health = status.health or {}
return { status = health.status or "Progressing", message = health.message or "" }
