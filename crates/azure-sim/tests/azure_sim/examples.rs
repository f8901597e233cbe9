//! The REST specification's own examples: the simulator accepts each request, and its answer has the example's shape.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use wio_azure_sim::Config;

use crate::cloud::{Answer, Cloud, file, json_file};
use crate::meaning::Meaning;

const CREATE_ASSIGNMENT: &str = "authorization-2022-04-01/RoleAssignments_CreateForResourceGroup.json";
const DELETE_ASSIGNMENT: &str = "authorization-2022-04-01/RoleAssignments_Delete.json";
const GET_ASSIGNMENT: &str = "authorization-2022-04-01/RoleAssignments_Get.json";
const LIST_ASSIGNMENTS: &str = "authorization-2022-04-01/RoleAssignments_ListForScope.json";
const CREATE_FLEXIBLE: &str = "msi-2025-05-31-preview/FlexibleFederatedIdentityCredentialCreate.json";
const CREATE_CREDENTIAL: &str = "msi-2026-05-31/FederatedIdentityCredentialCreate.2026-04-30.json";
const GET_CREDENTIAL: &str = "msi-2026-05-31/FederatedIdentityCredentialGet.json";
const LIST_CREDENTIALS: &str = "msi-2026-05-31/FederatedIdentityCredentialList.json";
const CREATE_IDENTITY: &str = "msi-2026-05-31/IdentityCreate.json";
const GET_IDENTITY: &str = "msi-2026-05-31/IdentityGet.json";
const LIST_IDENTITIES: &str = "msi-2026-05-31/IdentityListByResourceGroup.json";
const UPDATE_IDENTITY: &str = "msi-2026-05-31/IdentityUpdate.json";
const LIST_LOG: &str = "monitor-2015-04-01/GetActivityLogsFiltered.json";

/// The examples that tests of this file send.
const SENT: [&str; 13] = [
    CREATE_ASSIGNMENT,
    DELETE_ASSIGNMENT,
    GET_ASSIGNMENT,
    LIST_ASSIGNMENTS,
    CREATE_FLEXIBLE,
    CREATE_CREDENTIAL,
    GET_CREDENTIAL,
    LIST_CREDENTIALS,
    CREATE_IDENTITY,
    GET_IDENTITY,
    LIST_IDENTITIES,
    UPDATE_IDENTITY,
    LIST_LOG,
];

/// The examples of what the simulator does not simulate, and why it need not.
const NOT_SIMULATED: [(&str, &str); 2] = [
    ("aks-identitybindings/IdentityBindings_Delete.2026-08-01.json", AKS),
    ("aks-identitybindings/IdentityBindings_Get.2026-03-02-preview.json", AKS),
];
const AKS: &str = "identity bindings are made by AKS's own provider; nothing here writes them, and what they leave on an \
                   identity, the credential aks-identity-binding, is an ordinary federated credential";

/// What Azure makes up.
const GENERATED: &[&str] = &["properties.clientId", "properties.principalId", "properties.tenantId"];

/// What role assignments have besides: read-only or defaulted fields of the specification's model, left out of its examples.
const UNMENTIONED: &[&str] = &[
    "properties.condition",
    "properties.conditionVersion",
    "properties.createdBy",
    "properties.createdOn",
    "properties.delegatedManagedIdentityResourceId",
    "properties.description",
    "properties.updatedBy",
    "properties.updatedOn",
];

/// An example as the tests read it.
struct Example {
    name: &'static str,
    content: Value,
}

#[test]
fn every_example_is_sent_or_is_known_not_to_be_simulated() {
    let known: BTreeSet<String> = SENT
        .into_iter()
        .chain(NOT_SIMULATED.map(|(name, _)| name))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        known.len(),
        SENT.len() + NOT_SIMULATED.len(),
        "an example is classified twice"
    );
    let there: BTreeSet<String> = examples().into_keys().collect();
    assert_eq!(there, known, "left: the files; right: what this test knows of them");
}

#[test]
fn every_example_says_where_it_comes_from() {
    let manifest = std::fs::read_to_string(file("azure-examples/MANIFEST.tsv")).unwrap();
    let named: BTreeSet<String> = manifest
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(named, examples().into_keys().collect());
}

/// The JSON files, by their path.
fn examples() -> BTreeMap<String, Value> {
    fn read(folder: &Path, found: &mut BTreeMap<String, Value>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let name = path
                    .strip_prefix(file("azure-examples"))
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                let content = json_file(&format!("azure-examples/{name}"));
                found.insert(name, content);
            }
        }
    }
    let mut found = BTreeMap::new();
    read(&file("azure-examples"), &mut found);
    found
}

#[tokio::test]
async fn what_is_not_simulated_is_refused_and_not_made_up() {
    let cloud = Cloud::new(Config::default()).await;
    for (name, _) in NOT_SIMULATED {
        let parameters = &json_file(&format!("azure-examples/{name}"))["parameters"];
        let text = |name: &str| parameters[name].as_str().unwrap();
        let path = format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerService/managedClusters/{}/identityBindings/{}?api-version={}",
            text("subscriptionId"),
            text("resourceGroupName"),
            text("resourceName"),
            text("identityBindingName"),
            text("api-version")
        );
        let answer = cloud.send("GET", &path, None).await;
        assert!(answer.status.is_client_error(), "{name}: {answer:#?}");
    }
}

#[tokio::test]
async fn an_identity_is_created_read_and_updated_as_in_the_examples() {
    let create = Example::read(CREATE_IDENTITY);
    let cloud = create.cloud(Config::default()).await;
    let mut meaning = Meaning::new(GENERATED, &[]);
    create.check(
        &mut meaning,
        &cloud.send("PUT", &create.identity(), create.body()).await,
        201,
    );
    create.check(
        &mut meaning,
        &cloud.send("PUT", &create.identity(), create.body()).await,
        200,
    );
    let get = Example::read(GET_IDENTITY);
    get.check(&mut meaning, &cloud.send("GET", &get.identity(), None).await, 200);
    let update = Example::read(UPDATE_IDENTITY);
    update.check(
        &mut meaning,
        &cloud.send("PATCH", &update.identity(), update.body()).await,
        200,
    );
}

#[tokio::test]
async fn identities_are_listed_by_resource_group_as_in_the_example() {
    let list = Example::read(LIST_IDENTITIES);
    let cloud = list
        .cloud(Config {
            page_size: 1,
            ..Config::default()
        })
        .await;
    let create = Example::read(CREATE_IDENTITY);
    cloud
        .send("PUT", &create.identity(), create.body())
        .await
        .expect_status(201);
    let second = create.identity().replace("/resourceName?", "/second?");
    cloud.send("PUT", &second, create.body()).await.expect_status(201);
    let path = list.identity().replace("/resourceName?", "?");
    assert_list(
        &list,
        Meaning::new(GENERATED, &[]),
        cloud.send("GET", &path, None).await,
        &path,
    );
}

#[tokio::test]
async fn a_credential_is_created_and_read_as_in_the_examples() {
    let create = Example::read(CREATE_CREDENTIAL);
    let cloud = create.cloud_with_identity(Config::default()).await;
    let mut meaning = Meaning::new(&[], &[]);
    create.check(
        &mut meaning,
        &cloud.send("PUT", &create.credential(), create.body()).await,
        201,
    );
    create.check(
        &mut meaning,
        &cloud.send("PUT", &create.credential(), create.body()).await,
        200,
    );
    let get = Example::read(GET_CREDENTIAL);
    get.check(&mut meaning, &cloud.send("GET", &get.credential(), None).await, 200);
}

#[tokio::test]
async fn a_flexible_credential_is_created_as_in_the_example() {
    let create = Example::read(CREATE_FLEXIBLE);
    let cloud = create.cloud_with_identity(Config::default()).await;
    let mut meaning = Meaning::new(&[], &[]);
    create.check(
        &mut meaning,
        &cloud.send("PUT", &create.credential(), create.body()).await,
        201,
    );
    create.check(
        &mut meaning,
        &cloud.send("PUT", &create.credential(), create.body()).await,
        200,
    );
}

#[tokio::test]
async fn credentials_are_listed_as_in_the_example() {
    let list = Example::read(LIST_CREDENTIALS);
    let cloud = list
        .cloud_with_identity(Config {
            page_size: 1,
            ..Config::default()
        })
        .await;
    let create = Example::read(CREATE_CREDENTIAL);
    cloud
        .send("PUT", &create.credential(), create.body())
        .await
        .expect_status(201);
    let second = create.credential().replace("/ficResourceName?", "/second?");
    let mut body = create.body().unwrap().clone();
    body["properties"]["subject"] = json!("system:serviceaccount:ns:another");
    cloud.send("PUT", &second, Some(&body)).await.expect_status(201);
    let path = list.identity().replace('?', "/federatedIdentityCredentials?");
    // `$top` is how many a caller wants at most in a page; the service may give fewer.
    let top = format!("{path}&$top={}", list.text("top"));
    assert_list(&list, Meaning::default(), cloud.send("GET", &top, None).await, &path);
}

#[tokio::test]
async fn a_role_assignment_is_created_as_in_the_example() {
    let create = Example::read(CREATE_ASSIGNMENT);
    let cloud = Cloud::empty(Config::default());
    let group = format!("/{}", create.text("scope"));
    cloud
        .put(&group, &json!({"location": "westeurope"}))
        .await
        .expect_status(201);
    create.define_role(&cloud).await;
    let mut meaning = Meaning::new(&[], UNMENTIONED);
    create.check(
        &mut meaning,
        &cloud.send("PUT", &create.assignment(), create.body()).await,
        201,
    );
    create.check(
        &mut meaning,
        &cloud.send("PUT", &create.assignment(), create.body()).await,
        200,
    );
}

#[tokio::test]
async fn a_role_assignment_is_read_listed_and_deleted_as_in_the_examples() {
    let get = Example::read(GET_ASSIGNMENT);
    let cloud = Cloud::empty(Config::default());
    let create = Example::read(CREATE_ASSIGNMENT);
    create.define_role(&cloud).await;
    let body = create.body().unwrap().clone();
    cloud
        .send("PUT", &get.assignment(), Some(&body))
        .await
        .expect_status(201);
    let mut meaning = Meaning::new(&[], UNMENTIONED);
    get.check(&mut meaning, &cloud.send("GET", &get.assignment(), None).await, 200);
    let list = Example::read(LIST_ASSIGNMENTS);
    let path = format!(
        "/{}/providers/Microsoft.Authorization/roleAssignments?api-version={}",
        list.text("scope"),
        list.text("api-version")
    );
    list.check(&mut meaning, &cloud.send("GET", &path, None).await, 200);
    let delete = Example::read(DELETE_ASSIGNMENT);
    delete.check(
        &mut meaning,
        &cloud.send("DELETE", &delete.assignment(), None).await,
        200,
    );
    delete.check(
        &mut meaning,
        &cloud.send("DELETE", &delete.assignment(), None).await,
        204,
    );
}

/// The example is of 2015 and of another provider: what it has in an entry, an entry here has, and nothing that the model does not name.
#[tokio::test(start_paused = true)]
async fn an_entry_of_the_activity_log_has_the_shape_of_the_example() {
    const IN_THE_MODEL_ALONE: [&str; 4] = ["category", "resourceId", "resourceType", "tenantId"];
    let list = Example::read(LIST_LOG);
    let cloud = Cloud::empty(Config {
        page_size: 1,
        ..Config::default()
    });
    let group = format!(
        "/subscriptions/{}/resourceGroups/MSSupportGroup",
        list.text("subscriptionId")
    );
    cloud
        .put(&group, &json!({"location": "eastus"}))
        .await
        .expect_status(201);
    tokio::time::sleep(std::time::Duration::from_mins(20)).await;
    let filter = list
        .text("$filter")
        .replace("2015-01-23", "2099-01-23")
        .replace(' ', "%20");
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values?api-version={}&$filter={filter}",
        list.text("subscriptionId"),
        list.text("api-version")
    );
    let answer = cloud.send("GET", &path, None).await.expect_status(200);
    assert!(answer.body["nextLink"].as_str().unwrap().contains("skiptoken"));
    let (example, entry) = (&list.response(200)["value"][0], &answer.body["value"][0]);
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let mut expected = keys(example);
    expected.extend(IN_THE_MODEL_ALONE.map(str::to_owned));
    assert_eq!(keys(entry), expected);
    for localized in [
        "eventName",
        "operationName",
        "resourceProviderName",
        "status",
        "subStatus",
    ] {
        assert_eq!(keys(&entry[localized]), keys(&example[localized]), "{localized}");
    }
    for same in ["eventName", "level", "resourceGroupName", "status"] {
        assert_eq!(entry[same]["value"], example[same]["value"], "{same}");
    }
    assert!(keys(&entry["claims"]).is_subset(&keys(&example["claims"])), "{entry}");
    assert_eq!(keys(&entry["httpRequest"]), keys(&example["httpRequest"]));
    let parts = |entry: &Value| {
        let id = entry["id"].as_str().unwrap().to_owned();
        let event = entry["eventDataId"].as_str().unwrap().to_owned();
        id.contains(&format!("/events/{event}/ticks/"))
    };
    assert!(parts(entry) && parts(example));
}

/// The example's link names a host `serviceRoot` and a token `X'12345'`: both are placeholders.
#[track_caller]
fn assert_list(list: &Example, mut meaning: Meaning, mut answer: Answer, path: &str) {
    let original = list.response(200);
    let next = |body: &mut Value| body.as_object_mut().unwrap().remove("nextLink");
    let (mut expected, link) = (original.clone(), next(&mut answer.body));
    let example = next(&mut expected);
    assert_eq!(meaning.differences(&expected, &answer.body), [""; 0]);
    let parts = |link: &str| {
        let url = url::Url::parse(link).unwrap();
        let keys: BTreeSet<String> = url.query_pairs().map(|(key, _)| key.to_lowercase()).collect();
        (url.scheme().to_owned(), url.path().to_lowercase(), keys)
    };
    let (scheme, found_path, keys) = parts(link.as_ref().and_then(Value::as_str).expect("there is another page"));
    let (example_scheme, _, example_keys) = parts(example.as_ref().and_then(Value::as_str).unwrap());
    assert_eq!(
        (scheme, found_path),
        (example_scheme, path.split('?').next().unwrap().to_lowercase())
    );
    assert!(example_keys.is_subset(&keys), "{example_keys:?} in {keys:?}");
}

// === impl Example ===

impl Example {
    fn read(name: &'static str) -> Self {
        Self {
            name,
            content: json_file(&format!("azure-examples/{name}")),
        }
    }

    fn text(&self, parameter: &str) -> &str {
        self.content["parameters"][parameter]
            .as_str()
            .unwrap_or_else(|| panic!("{}: no {parameter}", self.name))
    }

    fn body(&self) -> Option<&Value> {
        self.content["parameters"].get("parameters")
    }

    fn group(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}",
            self.text("subscriptionId"),
            self.text("resourceGroupName")
        )
    }

    fn identity(&self) -> String {
        let name = self.content["parameters"]["resourceName"]
            .as_str()
            .unwrap_or("resourceName");
        let (group, version) = (self.group(), self.text("api-version"));
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}?api-version={version}")
    }

    fn credential(&self) -> String {
        let name = self.text("federatedIdentityCredentialResourceName");
        self.identity()
            .replace('?', &format!("/federatedIdentityCredentials/{name}?"))
    }

    fn assignment(&self) -> String {
        format!(
            "/{}/providers/Microsoft.Authorization/roleAssignments/{}?api-version={}",
            self.text("scope"),
            self.text("roleAssignmentName"),
            self.text("api-version")
        )
    }

    /// A cloud with the example's resource group.
    async fn cloud(&self, config: Config) -> Cloud {
        let cloud = Cloud::empty(config);
        cloud
            .put(&self.group(), &json!({"location": "eastus"}))
            .await
            .expect_status(201);
        cloud
    }

    /// A cloud with the example's resource group and identity.
    async fn cloud_with_identity(&self, config: Config) -> Cloud {
        let cloud = self.cloud(config).await;
        cloud
            .send("PUT", &self.identity(), Some(&json!({"location": "eastus"})))
            .await
            .expect_status(201);
        cloud
    }

    /// The role that the example assigns is none of the built-in ones, so somebody must have defined it.
    async fn define_role(&self, cloud: &Cloud) {
        let id = self.content["parameters"]["parameters"]["properties"]["roleDefinitionId"]
            .as_str()
            .unwrap();
        let permissions = json!([{"actions": ["*/read"], "notActions": [], "dataActions": [], "notDataActions": []}]);
        let body = json!({"properties": {"roleName": "the example's", "permissions": permissions}});
        cloud.put(id, &body).await.expect_status(201);
    }

    /// The example's answer, with its names brought into line: the authors send `resourceName` and get `identityName`
    /// back, and shorten the subscription to `subid`.
    fn response(&self, status: u16) -> Value {
        let body = &self.content["responses"][status.to_string()]["body"];
        let text = body.to_string().replace("identityName", "resourceName");
        let text = match self.content["parameters"]["subscriptionId"].as_str() {
            Some(subscription) => text.replace("/subscriptions/subid/", &format!("/subscriptions/{subscription}/")),
            None => text,
        };
        let mut body = serde_json::from_str(&text).unwrap();
        self.in_the_subscription(&mut body);
        body
    }

    /// The authors write the ids of roles without the subscription of the request, which every recording has.
    fn in_the_subscription(&self, body: &mut Value) {
        let scope = self.content["parameters"]["scope"].as_str().unwrap_or_default();
        let Some(subscription) = scope
            .strip_prefix("subscriptions/")
            .and_then(|rest| rest.split('/').next())
        else {
            return;
        };
        let alone = "\"/providers/Microsoft.Authorization/roleDefinitions/";
        let within = alone.replace("/providers", &format!("/subscriptions/{subscription}/providers"));
        *body = serde_json::from_str(&body.to_string().replace(alone, &within)).unwrap();
    }

    #[track_caller]
    fn check(&self, meaning: &mut Meaning, answer: &Answer, status: u16) {
        assert!(
            self.content["responses"].get(status.to_string()).is_some(),
            "{} has no {status}",
            self.name
        );
        assert_eq!(answer.status, status, "{}: {answer:#?}", self.name);
        assert_eq!(
            meaning.differences(&self.response(status), &answer.body),
            [""; 0],
            "{}",
            self.name
        );
    }
}
