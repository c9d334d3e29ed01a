//! The fake's side of the trait: each call is recorded, may fail on request, and is done in one of the siblings.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sarsen_domain::{ContainerId, ContainerName, ImageRef};

use super::{FakeRuntime, Operation};
use crate::{
    Attached, BuildItem, BuildSpec, CommitSpec, ContainerEvent, ContainerInfo, ContainerRuntime,
    ContainerSpec, ContainerUsage, EngineInfo, EngineStream, Exec, ExecId, ExecSpec, ImageInfo,
    LogChunk, LogOptions, NetworkInfo, RegistryLogin, RestartPolicy, Result, TtySize,
};

#[async_trait]
impl ContainerRuntime for FakeRuntime {
    async fn info(&self) -> Result<EngineInfo> {
        self.enter(Operation::Info, "")?;
        Ok(Self::engine_info())
    }

    async fn ping(&self) -> Result<()> {
        self.enter(Operation::Info, "")
    }

    async fn cpus(&self) -> Result<u32> {
        self.enter(Operation::Info, "")?;
        Ok(Self::CPUS)
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId> {
        let name = spec.name.as_ref().map_or("", ContainerName::as_str);
        self.enter(Operation::Create, name)?;
        self.create_container(spec)
    }

    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.enter_for(Operation::Start, id)?;
        self.start_container(id)
    }

    async fn stop(&self, id: &ContainerId, _grace: Duration) -> Result<()> {
        self.enter_for(Operation::Stop, id)?;
        self.stop_container(id)
    }

    async fn remove(&self, id: &ContainerId) -> Result<()> {
        self.enter_for(Operation::Remove, id)?;
        self.remove_container(id)
    }

    async fn rename(&self, id: &ContainerId, name: &ContainerName) -> Result<()> {
        self.enter_for(Operation::Rename, id)?;
        self.rename_container(id, name)
    }

    async fn set_restart_policy(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.enter_for(Operation::SetRestartPolicy, id)?;
        self.change(|state| state.container_mut(id).map(|c| c.spec.restart = policy))
    }

    async fn inspect(&self, id: &ContainerId) -> Result<ContainerInfo> {
        self.enter_for(Operation::Inspect, id)?;
        self.state().container(id).map(|c| c.info.clone())
    }

    async fn inspect_json(&self, id: &ContainerId) -> Result<String> {
        let info = self.inspect(id).await?;
        let value = serde_json::json!({
            "Id": info.id, "Name": format!("/{}", info.name), "Config": {"Labels": info.labels},
        });
        Ok(value.to_string())
    }

    // Every look finds a tenth of a second more.
    async fn usage(&self, id: &ContainerId) -> Result<ContainerUsage> {
        self.enter_for(Operation::Inspect, id)?;
        let looks = self.state().look_at(id);
        Ok(ContainerUsage {
            cpu: Duration::from_millis(100) * looks,
            memory: 1 << 20,
            memory_limit: None,
        })
    }

    async fn find(&self, name: &ContainerName) -> Result<Option<ContainerInfo>> {
        self.enter(Operation::Find, name.as_str())?;
        let found = |info: &ContainerInfo| info.name == name.as_str();
        Ok(self.state().infos().into_iter().find(found))
    }

    async fn list(&self, labels: &[String]) -> Result<Vec<ContainerInfo>> {
        self.enter(Operation::List, &labels.join(","))?;
        let mut infos = self.state().infos();
        infos.retain(|info| super::containers::carries(&info.labels, labels));
        Ok(infos)
    }

    async fn ids(&self) -> Result<Vec<ContainerId>> {
        self.enter(Operation::List, "")?;
        Ok(self
            .state()
            .infos()
            .into_iter()
            .map(|info| info.id)
            .collect())
    }

    async fn wait(&self, id: &ContainerId) -> Result<i64> {
        self.enter_for(Operation::Wait, id)?;
        self.wait_for_end(id).await
    }

    async fn logs(&self, id: &ContainerId, options: LogOptions) -> Result<EngineStream<LogChunk>> {
        self.enter_for(Operation::Logs, id)?;
        self.log_stream(id, options)
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attached> {
        self.enter_for(Operation::Attach, id)?;
        self.attach_container(id)
    }

    async fn resize(&self, id: &ContainerId, _size: TtySize) -> Result<()> {
        self.enter_for(Operation::Resize, id)?;
        self.state().container(id).map(|_| ())
    }

    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec> {
        self.enter(Operation::Exec, &spec.command.join(" "))?;
        self.exec_in(id, spec)
    }

    async fn resize_exec(&self, exec: &ExecId, _size: TtySize) -> Result<()> {
        self.enter(Operation::ResizeExec, &exec.0)?;
        self.exec_code(exec).map(|_| ())
    }

    async fn exec_exit_code(&self, exec: &ExecId) -> Result<i64> {
        self.enter(Operation::ExecExitCode, &exec.0)?;
        self.wait_for_exec(exec).await
    }

    async fn upload(&self, id: &ContainerId, path: &str, tar: EngineStream<Bytes>) -> Result<()> {
        self.enter_for(Operation::Upload, id)?;
        self.unpack(id, path, tar).await
    }

    async fn download(&self, id: &ContainerId, path: &str) -> Result<EngineStream<Bytes>> {
        self.enter_for(Operation::Download, id)?;
        self.pack(id, path)
    }

    async fn events(&self, since: Option<i64>) -> Result<EngineStream<ContainerEvent>> {
        self.enter(Operation::Events, "")?;
        Ok(self.event_stream(since))
    }

    async fn build(
        &self,
        spec: &BuildSpec,
        context: EngineStream<Bytes>,
    ) -> Result<EngineStream<BuildItem>> {
        self.enter(Operation::Build, &spec.tag)?;
        Ok(self.build_stream(spec, context))
    }

    async fn commit(&self, id: &ContainerId, spec: &CommitSpec) -> Result<ImageRef> {
        self.enter_for(Operation::Commit, id)?;
        self.commit_container(id, spec)
    }

    async fn image(&self, image: &ImageRef) -> Result<ImageInfo> {
        self.enter(Operation::Image, image.as_str())?;
        self.image_info(image.as_str())
    }

    async fn pull(
        &self,
        image: &ImageRef,
        _login: Option<&RegistryLogin>,
    ) -> Result<EngineStream<String>> {
        self.enter(Operation::Pull, image.as_str())?;
        Ok(self.pull_stream(image))
    }

    async fn push(
        &self,
        image: &ImageRef,
        _login: Option<&RegistryLogin>,
    ) -> Result<EngineStream<String>> {
        self.enter(Operation::Push, image.as_str())?;
        self.image_info(image.as_str())?;
        let line = format!("Pushed {image}");
        Ok(Box::pin(futures_util::stream::iter([Ok(line)])))
    }

    async fn check_login(&self, login: &RegistryLogin) -> Result<()> {
        self.enter(Operation::CheckLogin, &login.server)
    }

    async fn load(&self, archive: EngineStream<Bytes>) -> Result<EngineStream<String>> {
        self.enter(Operation::Load, "")?;
        self.load_stream(archive).await
    }

    async fn tag(&self, image: &ImageRef, repository: &str, tag: &str) -> Result<()> {
        self.enter(Operation::Tag, image.as_str())?;
        self.tag_image(image, repository, tag)
    }

    async fn images(&self, labels: &[String]) -> Result<Vec<ImageInfo>> {
        self.enter(Operation::Images, &labels.join(","))?;
        let mut images = self.image_list();
        images.retain(|image| super::containers::carries(&image.labels, labels));
        Ok(images)
    }

    async fn remove_image(&self, image: &ImageRef) -> Result<()> {
        self.enter(Operation::RemoveImage, image.as_str())?;
        self.remove_image_or_name(image)
    }

    async fn ensure_volume(&self, name: &str, labels: &[(String, String)]) -> Result<()> {
        self.enter(Operation::EnsureVolume, name)?;
        self.change(|state| {
            let volume = state.volumes.entry(name.to_owned());
            volume.or_insert_with(|| labels.to_vec());
        });
        Ok(())
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        self.enter(Operation::RemoveVolume, name)?;
        self.change(|state| state.remove_volume(name))
    }

    async fn ensure_network(&self, name: &str, labels: &[(String, String)]) -> Result<()> {
        self.enter(Operation::EnsureNetwork, name)?;
        self.change(|state| state.add_network(name, labels));
        Ok(())
    }

    async fn networks(&self) -> Result<Vec<NetworkInfo>> {
        self.enter(Operation::Networks, "")?;
        Ok(self.look(|state| state.networks.values().cloned().collect()))
    }

    async fn remove_network(&self, name: &str) -> Result<()> {
        self.enter(Operation::RemoveNetwork, name)?;
        self.change(|state| state.remove_network(name));
        Ok(())
    }

    async fn connect_network(
        &self,
        id: &ContainerId,
        network: &str,
        _aliases: &[String],
    ) -> Result<()> {
        self.enter_for(Operation::ConnectNetwork, id)?;
        self.change(|state| state.join_network(id, network))
    }
}

impl FakeRuntime {
    fn enter_for(&self, operation: Operation, id: &ContainerId) -> Result<()> {
        let mut state = self.state();
        let name = state.name_of(id);
        state.enter(operation, &name)
    }
}
