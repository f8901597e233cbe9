-- The health of a WorkloadIdentityBinding and of a WorkloadIdentityPolicy, by the rules that `kubectl wait` and Flux go by (kstatus).
-- A suspended binding is Suspended, whatever waits; only what stands in the way of it for another reason is told first.
local status = obj.status or {}
local ready, reconciling, stalled
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type == "Reconciling" and condition.status == "True" then
    reconciling = condition
  elseif condition.type == "Stalled" and condition.status == "True" then
    stalled = condition
  end
end

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = ready ~= nil and ready.message or "It is being deleted" }
end

local suspended = obj.spec ~= nil and obj.spec.suspend == true
if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  if suspended then
    return { status = "Suspended", message = "spec.suspend is true" }
  end
  return { status = "Progressing", message = "Waiting for the operator to see the latest spec" }
end
if stalled ~= nil and not (suspended and stalled.reason == "Suspended") then
  return { status = "Degraded", message = stalled.message }
end
if suspended then
  return { status = "Suspended", message = ready ~= nil and ready.message or "spec.suspend is true" }
end
if reconciling ~= nil then
  return { status = "Progressing", message = reconciling.message }
end
if ready == nil then
  return { status = "Progressing", message = "Waiting for the operator" }
end
return { status = ready.status == "True" and "Healthy" or "Progressing", message = ready.message }
