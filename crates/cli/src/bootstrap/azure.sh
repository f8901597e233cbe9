# The resource groups: two, because the operator must have no role where its own identity lies.
az group create --name "$GROUP" --location "$LOCATION" --output table
az group create --name "$OPERATOR_GROUP" --location "$LOCATION" --output table

# The operator's own identity, which trusts the operator's service account.
az identity create --resource-group "$OPERATOR_GROUP" --name workload-identity-operator --location "$LOCATION" \
  --query '{name: name, clientId: clientId, principalId: principalId}' --output json
az identity federated-credential create --resource-group "$OPERATOR_GROUP" --identity-name workload-identity-operator --name "$CLUSTER" \
  --issuer "$ISSUER" --audiences api://AzureADTokenExchange \
  --subject system:serviceaccount:workload-identity-system:workload-identity-operator \
  --query '{name: name, issuer: issuer, subject: subject, audiences: audiences}' --output json
CLIENT_ID=$(az identity show --resource-group "$OPERATOR_GROUP" --name workload-identity-operator --query clientId --output tsv)
OPERATOR=$(az identity show --resource-group "$OPERATOR_GROUP" --name workload-identity-operator --query principalId --output tsv)

# Its roles. Azure finds a new role by its name only after a while.
for role in identities activity-log-reader cluster-reader; do
  az role definition create --query roleName --output tsv \
    --role-definition "$(sed "s/00000000-0000-0000-0000-000000000000/$SUBSCRIPTION/" "config/azure/roles/$role.json")"
done
for role in "Identities" "Activity Log Reader" "Cluster Reader"; do
  until az role definition list --name "Workload Identity Operator - $role" --query '[].name' --output tsv | grep -q .; do sleep 5; done
done
az role assignment create --assignee-object-id "$OPERATOR" --assignee-principal-type ServicePrincipal \
  --role "Workload Identity Operator - Identities" --scope "/subscriptions/$SUBSCRIPTION/resourceGroups/$GROUP" --query scope --output tsv
az role assignment create --assignee-object-id "$OPERATOR" --assignee-principal-type ServicePrincipal \
  --role "Workload Identity Operator - Activity Log Reader" --scope "/subscriptions/$SUBSCRIPTION" --query scope --output tsv
if [ -n "$CLUSTER_ID" ]; then
  az role assignment create --assignee-object-id "$OPERATOR" --assignee-principal-type ServicePrincipal \
    --role "Workload Identity Operator - Cluster Reader" --scope "$CLUSTER_ID" --query scope --output tsv
fi
