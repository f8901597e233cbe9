# The operator.
helm install workload-identity-operator charts/workload-identity-operator \
  --namespace workload-identity-system --create-namespace \
  --set azure.subscriptionId="$SUBSCRIPTION" --set azure.resourceGroup="$GROUP" --set azure.location="$LOCATION" \
  --set azure.clientId="$CLIENT_ID" --set azure.clusterId="$CLUSTER_ID" \
  --set image.repository="${REGISTRY:-myregistry}.azurecr.io/workload-identity-operator" | grep STATUS
kubectl rollout status deployment/workload-identity-operator --namespace workload-identity-system --timeout 5m | tail -n 1
